"""Series and windows of the benchmark, as its files hold them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from undertone.benchmark.nab_files import read_series
from undertone.benchmark.nab_scoring import Window
from undertone.errors import InputFileError

SERIES = "timestamp,value\n2015-02-26 21:42:53,3\n2015-02-26 21:47:53,0\n2015-02-26 21:52:53,7\n"
WINDOWS = {"realTweets/tweets.csv": [["2015-02-26 21:47:53.000000", "2015-02-26 21:52:53.000000"]]}


def write(folder: Path, series: str = SERIES, windows: object = WINDOWS) -> Path:
    (folder / "tweets.csv").write_text(series)
    (folder / "windows.json").write_bytes(orjson.dumps(windows))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(InputFileError) as error:
        read_series(folder)
    return str(error.value)


def test_a_series_has_its_instants_its_counts_and_its_windows_as_rows(tmp_path: Path) -> None:
    [series] = read_series(write(tmp_path))
    assert series.name == "tweets.csv"
    assert series.values == (3, 0, 7)
    assert series.instants_ms[1] - series.instants_ms[0] == 300_000
    assert series.windows == (Window(1, 2),)


def test_what_is_wrong_is_named_with_its_place(tmp_path: Path) -> None:
    assert "windows.json: cannot be read" in refused(tmp_path)
    assert "windows.json: expected an object" in refused(write(tmp_path, windows=[]))
    assert "tweets.csv: row 1" in refused(write(tmp_path, series="time,count\n1,2\n"))
    assert "tweets.csv: row 2" in refused(write(tmp_path, series=SERIES.replace(",0", ",many")))
    outside = {"tweets.csv": [["2015-02-26 21:47:53", "2015-03-26 21:52:53"]]}
    assert "pairs of timestamps of the series" in refused(write(tmp_path, windows=outside))
    missing = {"other.csv": WINDOWS["realTweets/tweets.csv"]}
    assert "other.csv: cannot be read" in refused(write(tmp_path, windows=missing))
