"""What is remembered of feeds: across runs, for one process at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from undertone.errors import StateError, UsageError
from undertone.ingest.feed_memory import FeedMemory
from undertone.ingest.feed_schedule import FeedState

STATE = FeedState(etag='"1"', failures=2, not_before_ms=7, seen=("a", "b"))


def test_what_is_saved_is_there_in_the_next_run(tmp_path: Path) -> None:
    with closing(FeedMemory(tmp_path / "feeds.sqlite")) as memory:
        assert memory.load("x") == FeedState()
        memory.save({"x": FeedState(), "y": STATE})
        memory.save({"x": STATE})
    with closing(FeedMemory(tmp_path / "feeds.sqlite")) as memory:
        assert memory.load("x") == memory.load("y") == STATE


def test_what_was_remembered_by_a_former_key_is_found_by_the_new_one(tmp_path: Path) -> None:
    with closing(FeedMemory(tmp_path / "f")) as memory:
        memory.save({"was s3cret": STATE, "stays": STATE, "was both": FeedState(), "both": STATE})
        memory.rename({"was s3cret": "is", "stays": "stays", "was both": "both", "new": "newer"})
        assert [memory.load(key) for key in ("is", "stays", "both")] == [STATE] * 3
        assert memory.load("was s3cret") == memory.load("was both") == FeedState()
    assert b"s3cret" not in (tmp_path / "f").read_bytes()


def test_two_processes_cannot_have_it_at_once(tmp_path: Path) -> None:
    with (
        closing(FeedMemory(tmp_path / "feeds.sqlite")),
        pytest.raises(UsageError, match="another process polls"),
    ):
        FeedMemory(tmp_path / "feeds.sqlite")


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and longer than the header of one " * 4)
    for path in (tmp_path / "text", tmp_path / "no" / "folder", tmp_path):
        with pytest.raises(StateError, match="--state"):
            FeedMemory(path)


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    FeedMemory(tmp_path / "f").close()
    with closing(sqlite3.connect(tmp_path / "f", isolation_level=None)) as database:
        database.execute("INSERT INTO feeds VALUES ('x', '{')")
    with closing(FeedMemory(tmp_path / "f")) as memory, pytest.raises(StateError, match="of x"):
        memory.load("x")
