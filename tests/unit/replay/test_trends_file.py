"""Trend points in Parquet: what comes back is what went in."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import HOUR_MS, START_MS
from made_alerts import made_trend_point
from undertone.errors import InputFileError, UsageError
from undertone.records import TrendPoint
from undertone.replay import optional
from undertone.replay.trends_file import TrendsFile
from undertone.trends.points import columns_of_records

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


def points(count: int) -> list[TrendPoint]:
    return [
        made_trend_point(
            window_end=START_MS + number * HOUR_MS,
            subject=f"s{number % 3}",
            stories=number,
            mean_score=None if number % 2 else -0.25,
            negative_share=None if number % 2 else 0.5,
        )
        for number in range(count)
    ]


def test_every_field_of_every_point_comes_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "trends.parquet"
    written = points(5_000)
    with TrendsFile(path) as file:
        for start in range(0, 5_000, 700):
            file.add(columns_of_records(written[start : start + 700]))
    table = parquet.read_table(path)
    assert table.column_names == list(TrendPoint.model_fields)
    rows = table.to_pylist()
    assert [row["stories"] for row in rows] == list(range(5_000))
    for row, point in zip(rows[:50], written, strict=False):
        row["window_end"] = round(row["window_end"].timestamp() * 1000)
        assert TrendPoint(**row) == point


def test_it_is_written_in_row_groups_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "trends.parquet"
    point = made_trend_point()
    with TrendsFile(path) as file:
        for _ in range(8):
            file.add(columns_of_records([point] * 10_000))
    metadata = parquet.ParquetFile(path).metadata
    assert metadata.num_rows == 80_000
    assert metadata.num_row_groups == 2


def test_without_points_it_is_an_empty_table_with_the_columns(tmp_path: Path) -> None:
    with TrendsFile(tmp_path / "trends.parquet"):
        pass
    assert parquet.read_table(tmp_path / "trends.parquet").num_rows == 0


def test_an_interrupt_leaves_a_readable_file_of_what_came(tmp_path: Path) -> None:
    path = tmp_path / "trends.parquet"

    def interrupted() -> None:
        with TrendsFile(path) as file:
            file.add(columns_of_records([made_trend_point()]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert parquet.read_table(path).num_rows == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputFileError, match=r"nowhere/trends\.parquet: cannot be written"),
        TrendsFile(tmp_path / "nowhere" / "trends.parquet"),
    ):
        pass


def test_a_missing_library_names_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError, match="needs the package no-such") as caught:
        optional.required("no_such_module", package="no-such", purpose="trends.parquet")
    assert "pip install 'undertone[replay]'" in str(caught.value)
