"""The files of the Numenta Anomaly Benchmark: series as CSV, their labelled windows as JSON."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from undertone.benchmark.nab_scoring import Window
from undertone.errors import InputFileError
from undertone.records import parse_instant

WINDOWS_FILE = "windows.json"


@dataclass(frozen=True)
class LabelledSeries:
    """Counts at regular instants, and the windows in which something truly happened."""

    name: str
    instants_ms: tuple[int, ...]
    values: tuple[int, ...]
    windows: tuple[Window, ...]


def read_series(folder: Path) -> list[LabelledSeries]:
    """Every series that `windows.json` names, by name: `folder`/FILE.csv with `timestamp,value`.

    Windows name a file, perhaps with the folder that it had, and the first and last timestamp of
    each anomaly, which must stand in the series. Raises InputFileError that names file and place.
    """
    path = folder / WINDOWS_FILE
    labels = _labels(path)
    return [_read_one(folder / Path(name).name, labels[name], path) for name in sorted(labels)]


def _labels(path: Path) -> dict[str, Any]:
    try:
        labels = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise InputFileError(f"{path}: not JSON: {error}") from None
    if not isinstance(labels, dict) or not labels:
        raise InputFileError(f"{path}: expected an object of FILE: [[first, last], …]")
    return labels


def _read_one(path: Path, labels: Any, windows_path: Path) -> LabelledSeries:
    instants: list[int] = []
    values: list[int] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                instants.append(_instant(row["timestamp"]))
                values.append(round(float(row["value"])))
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputFileError(
            f"{path}: row {len(values) + 1}: expected a timestamp and a value: {error}"
        ) from None
    rows = {instant: row for row, instant in enumerate(instants)}
    return LabelledSeries(
        name=path.name,
        instants_ms=tuple(instants),
        values=tuple(values),
        windows=_windows(labels, rows, f"{windows_path}: {path.name}"),
    )


def _windows(labels: Any, rows: dict[int, int], where: str) -> tuple[Window, ...]:
    try:
        ends: Sequence[tuple[int, int]] = [
            (rows[_instant(first)], rows[_instant(last)]) for first, last in labels
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputFileError(
            f"{where}: expected pairs of timestamps of the series, got {error}"
        ) from None
    return tuple(sorted(Window(first, last) for first, last in ends))


def _instant(text: str) -> int:
    """`2015-02-26 21:42:53`, with or without a fraction, as milliseconds since 1970, in UTC."""
    return parse_instant(f"{text.strip().replace(' ', 'T')}Z")
