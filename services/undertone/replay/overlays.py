"""Prices or other figures that the report draws under a subject's timeline.

A CSV file with the columns `time` and `value`; other columns are ignored. A time is ISO 8601 with
a time zone, or a date, which is its midnight in UTC.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from array import array
from dataclasses import dataclass
from pathlib import Path

from undertone.errors import ConfigurationError, InputFileError
from undertone.records import parse_instant

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SUBJECT = re.compile(r"([a-z0-9-]+)=(.+)")


@dataclass(frozen=True)
class Overlay:
    """One line to draw: `values[i]` from `times_ms[i]` on, in order of time.

    Without a subject it stands under every subject.
    """

    name: str
    times_ms: array[int]
    values: array[float]
    subject: str | None = None


def read_overlay(option: str) -> Overlay:
    """Read what a command line names: `FILE`, or `SUBJECT=FILE` for one subject's timeline.

    The line is named after the file. Raises InputFileError where the file cannot be read,
    ConfigurationError that names the line and what is wrong with it.
    """
    match = _SUBJECT.fullmatch(option)
    subject, path = (match[1], Path(match[2])) if match else (None, Path(option))
    rows = sorted(_rows(_text(path), path).items())
    if not rows:
        raise ConfigurationError(f"{path}: holds no values under its header `time,value`")
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    times = array("q", (at_ms for at_ms, _value in rows))
    return Overlay(name, times, array("d", (value for _at, value in rows)), subject)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise InputFileError(f"{path}: is not UTF-8 text") from None


def _rows(text: str, path: Path) -> dict[int, float]:
    """Values by time; of two at one time the later line counts."""
    reader = csv.DictReader(io.StringIO(text))
    header = [name.strip().lower() for name in reader.fieldnames or []]
    reader.fieldnames = header
    for column in ("time", "value"):
        if column not in header:
            raise ConfigurationError(
                f"{path}: line 1: {column}: expected a column of that name",
                hint="the first line reads: time,value",
            )
    rows: dict[int, float] = {}
    try:
        for row in reader:
            where = f"{path}: line {reader.line_num}"
            rows[_time(row["time"], where)] = _value(row["value"], where)
    except csv.Error as error:
        raise ConfigurationError(f"{path}: line {reader.line_num}: {error}") from None
    return rows


def _time(text: str | None, where: str) -> int:
    text = (text or "").strip()
    try:
        return parse_instant(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except ValueError as error:
        raise ConfigurationError(f"{where}: time: {error}") from None


def _value(text: str | None, where: str) -> float:
    try:
        value = float((text or "").strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigurationError(f"{where}: value: expected a number, got {(text or '')[:40]!r}")
    return value
