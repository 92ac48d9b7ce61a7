"""What truly happened in a stream: the events that alerts are scored against (design §9).

A truth file is TSV with a header row, or JSON lines, with `subject, start, end?, polarity,
description`. Files that name an `entity` and the time of its first headline, or a `ticker` and a
`date`, are read as they are.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from undertone.errors import ConfigurationError, InputFileError
from undertone.field_mapping import subject_id
from undertone.records import Instant, describe_validation, format_instant

COLUMNS = ("subject", "start", "end", "polarity", "description")

# The names that other people's truth files give to our columns, in the order of preference.
_ALIASES: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "entity", "ticker"),
    "start": ("start", "first_matching_headline_utc", "event_date_utc", "date"),
    "end": ("end",),
    "polarity": ("polarity",),
    "description": ("description", "first_matching_headline"),
}
_POLARITIES = {"neg": "negative", "pos": "positive", "": "unknown"}


class TruthEvent(BaseModel):
    """One event about one subject; without `end` it is a moment."""

    model_config = ConfigDict(frozen=True)

    subject: str = Field(min_length=1)
    start: Instant
    end: Instant | None = None
    polarity: Literal["negative", "positive", "unknown"] = "unknown"
    description: str = ""

    @field_validator("polarity", mode="before")
    @classmethod
    def _short_polarity(cls, value: object) -> object:
        return _POLARITIES.get(value, value) if isinstance(value, str) else value

    def to_row(self) -> dict[str, str]:
        """The event as a row of text."""
        return {
            "subject": self.subject,
            "start": format_instant(self.start),
            "end": format_instant(self.end) if self.end is not None else "",
            "polarity": self.polarity,
            "description": self.description,
        }


def read_truth(path: Path) -> list[TruthEvent]:
    """The events of a truth file, in its order.

    A start without a time of day is its midnight in UTC. Raises InputFileError where the file
    cannot be read, ConfigurationError that names the line and the field that is wrong.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise InputFileError(f"{path}: is not UTF-8 text") from None
    rows = _json_rows(text, path) if text.lstrip().startswith("{") else _tsv_rows(text, path)
    return [_event(row, f"{path}: line {line}") for line, row in rows]


def write_truth(path: Path, events: Iterable[TruthEvent]) -> None:
    """Write a truth file: JSON lines where the name ends in .jsonl, else TSV."""
    rows = [event.to_row() for event in events]
    if path.suffix == ".jsonl":
        text = "".join(
            orjson.dumps({name: value for name, value in row.items() if value}).decode() + "\n"
            for row in rows
        )
    else:
        table = [COLUMNS, *([" ".join(row[name].split()) for name in COLUMNS] for row in rows)]
        text = "".join("\t".join(cells) + "\n" for cells in table)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputFileError(f"{path}: cannot be written: {error.strerror}") from None


def _json_rows(text: str, path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    rows: list[tuple[int, Mapping[str, Any]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"{path}: line {number}: not JSON: {error}") from None
        if not isinstance(document, dict):
            raise ConfigurationError(f"{path}: line {number}: expected a JSON object")
        rows.append((number, document))
    return rows


def _tsv_rows(text: str, path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    # Titles may hold a quotation mark of any kind, so a mark quotes nothing here.
    lines = io.StringIO(text, newline=None)
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    rows: list[tuple[int, Mapping[str, Any]]] = []
    try:
        header = reader.fieldnames or []
        rows += ((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise ConfigurationError(f"{path}: line {reader.reader.line_num}: {error}") from None
    for name in ("subject", "start"):
        if not any(alias in header for alias in _ALIASES[name]):
            raise ConfigurationError(
                f"{path}: line 1: {name}: expected a column of that name "
                f"(or {', '.join(_ALIASES[name][1:])}), parted by tabs"
            )
    return rows


def _event(row: Mapping[str, Any], where: str) -> TruthEvent:
    fields: dict[str, Any] = {}
    for name, aliases in _ALIASES.items():
        value = next((row[alias] for alias in aliases if row.get(alias)), None)
        if value is not None:
            fields[name] = value
    if isinstance(fields.get("subject"), str):
        fields["subject"] = subject_id(fields["subject"])
    for name in ("start", "end"):
        if isinstance(fields.get(name), str) and "T" not in fields[name]:
            fields[name] += "T00:00:00Z"
    if "polarity" not in fields and row.get("return_pct"):
        fields["polarity"] = "negative" if str(row["return_pct"]).startswith("-") else "positive"
    if "description" not in fields and row.get("return_pct"):
        fields["description"] = f"the price moves {row['return_pct']}%"
    try:
        return TruthEvent.model_validate(fields)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {describe_validation(error)}") from None
