"""Labelled rows, read from JSON lines or CSV: what training and evaluation work on."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from undertone_models.pairs import LABELS, Pair, Span

UNSOURCED = "unknown"


class LabelledFileError(ValueError):
    """A labelled file cannot be read; the message names the file and the line."""


class LabelledRow(NamedTuple):
    """One text, the target that its label is about (or the whole text), and the label."""

    text: str
    target: str | None
    label: int  # index into LABELS
    source: str
    split: str | None
    span: Span | None = None  # where the target stands in the text
    soft: tuple[float, float, float] | None = None  # a teacher's probabilities of LABELS

    @property
    def pair(self) -> Pair:
        """What a classifier reads of this row."""
        return Pair(self.text, self.target, self.span)


def read_labelled(paths: Iterable[Path]) -> list[LabelledRow]:
    """Read every row of every file, in order (`.gz` is gzip; `.csv` is CSV, all else JSON lines).

    Fields: `text`, `label` (negative, neutral or positive), and where present `target`, `start`
    and `end` (its characters in the text), `source`, `split`. Raises LabelledFileError naming file
    and line.
    """
    return [_parse(where, fields) for path in paths for where, fields in _located(path)]


def read_pairs(path: Path) -> list[Pair]:
    """Read `text` and, where present, `target` of every row of a file, labelled or not."""
    return [_pair(where, fields) for where, fields in _located(path)]


def rows_of_split(rows: Sequence[LabelledRow], split: str | None) -> list[LabelledRow]:
    """The rows of a split; with None, those of `validation`, or all where no row has a split."""
    if split is None:
        if all(row.split is None for row in rows):
            return list(rows)
        split = "validation"
    return [row for row in rows if row.split == split]


def _located(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (`file:line`, fields) of each row."""
    try:
        with _open(path) as stream:
            for number, fields in _fields(path, stream):
                yield f"{path}:{number}", fields
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise LabelledFileError(f"{path}: cannot be read: {error}") from error


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _fields(path: Path, stream: IO[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.name.removesuffix(".gz").endswith(".csv"):
        reader = csv.DictReader(stream)
        for fields in reader:
            yield reader.line_num, fields
        return
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise LabelledFileError(f"{path}:{number}: not JSON: {error.msg}") from error
        if not isinstance(fields, dict):
            raise LabelledFileError(f"{path}:{number}: expected an object, not {line.strip():.40}")
        yield number, fields


def _parse(where: str, fields: dict[str, Any]) -> LabelledRow:
    label = fields.get("label")
    if label not in LABELS:
        raise LabelledFileError(
            f"{where}: field label: expected {', '.join(LABELS)}, not {label!r:.40}"
        )
    text, target, span = _pair(where, fields)
    return LabelledRow(
        text=text,
        target=target,
        label=LABELS.index(label),
        source=_optional(where, fields, "source") or UNSOURCED,
        split=_optional(where, fields, "split"),
        span=span,
        soft=_soft(where, fields),
    )


def _pair(where: str, fields: dict[str, Any]) -> Pair:
    text, target = _text(where, fields), _optional(where, fields, "target")
    return Pair(text, target, None if target is None else _span(where, fields, text))


def _span(where: str, fields: dict[str, Any], text: str) -> Span | None:
    start, end = fields.get("start"), fields.get("end")
    if start in (None, "") and end in (None, ""):
        return None
    try:
        span = int(str(start)), int(str(end))
    except ValueError:
        span = (0, 0)
    if not 0 <= span[0] < span[1] <= len(text):
        raise LabelledFileError(
            f"{where}: fields start and end: expected characters of the text"
            f" (0 to {len(text)}), not {start!r:.40} and {end!r:.40}"
        )
    return span


def _soft(where: str, fields: dict[str, Any]) -> tuple[float, float, float] | None:
    written = [fields.get(f"p_{label}") for label in LABELS]
    if all(value in (None, "") for value in written):
        return None
    try:
        values = [float(str(value)) for value in written]
    except ValueError:
        values = [-1.0]
    # Written to three decimals, they may miss 1 by a little; a sum far off is another scale.
    if not (all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) <= 0.01):
        raise LabelledFileError(
            f"{where}: fields p_negative, p_neutral, p_positive: expected three probabilities"
            f" whose sum is 1, not {written!r:.60}"
        )
    negative, neutral, positive = (value / sum(values) for value in values)
    return negative, neutral, positive


def _text(where: str, fields: dict[str, Any]) -> str:
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        raise LabelledFileError(f"{where}: field text: expected words, not {text!r:.40}")
    return text


def _optional(where: str, fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise LabelledFileError(f"{where}: field {name}: expected a string, not {value!r:.40}")
    return value
