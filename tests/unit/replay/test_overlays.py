"""Overlay files: what they may hold, and which line is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from undertone.errors import ConfigurationError, InputFileError
from undertone.records import parse_instant
from undertone.replay.overlays import read_overlay


def file(tmp_path: Path, text: str, name: str = "price.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_times_are_sorted_dates_are_midnight_and_other_columns_are_ignored(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "Time,volume,Value\n2008-09-16,7,0.30\n2008-09-15T16:00:00+02:00,8,3.65\n",
    )
    overlay = read_overlay(str(path))
    assert overlay.name == "price"
    assert overlay.subject is None
    assert list(overlay.times_ms) == [
        parse_instant("2008-09-15T14:00:00Z"),
        parse_instant("2008-09-16T00:00:00Z"),
    ]
    assert list(overlay.values) == [3.65, 0.30]


def test_a_subject_may_stand_before_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, "time,value\n2008-09-16,1\n")
    assert read_overlay(f"lehman={path}").subject == "lehman"


def test_a_compressed_file_is_read_and_the_later_of_two_equal_times_counts(tmp_path: Path) -> None:
    path = tmp_path / "price.csv.gz"
    path.write_bytes(gzip.compress(b"time,value\n2008-09-16,1\n2008-09-16,2\n"))
    overlay = read_overlay(str(path))
    assert overlay.name == "price"
    assert list(overlay.values) == [2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: time: expected a column"),
        ("time,close\n", "line 1: value: expected a column"),
        ("time,value\n", "holds no values"),
        ("time,value\n2008-09-16,1\nyesterday,2\n", "line 3: time: cannot read 'yesterday'"),
        ("time,value\n2008-09-16T10:00:00,2\n", "line 2: time: .*names no time zone"),
        ("time,value\n2008-09-16\n", "line 2: value: expected a number, got ''"),
        ("time,value\n2008-09-16,nan\n", "line 2: value: expected a number, got 'nan'"),
        ("time,value\n2008-09-16,1\n2008-09-17,n/a\n", "line 3: value: expected a number"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_overlay(str(path))
    assert str(caught.value).startswith(str(path))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"none\.csv: cannot be read"):
        read_overlay(str(tmp_path / "none.csv"))
    path = tmp_path / "binary.csv"
    path.write_bytes(b"time,value\n\xff\xfe")
    with pytest.raises(InputFileError, match="is not UTF-8"):
        read_overlay(str(path))
    short = tmp_path / "short.csv.gz"
    short.write_bytes(gzip.compress(b"time,value\n2008-09-16,1\n")[:-4])
    with pytest.raises(InputFileError, match="cannot be read"):
        read_overlay(str(short))
