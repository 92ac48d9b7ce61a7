"""What is remembered of feeds between runs: one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from undertone.errors import StateError, UsageError
from undertone.ingest.feed_schedule import FeedState

_TABLE = "CREATE TABLE IF NOT EXISTS feeds (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT"
_SAVE = "INSERT INTO feeds VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET state = excluded.state"


class FeedMemory:
    """The states of feeds by name, in a file that one process at a time may have.

    Raises UsageError where another has it, StateError where it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._faults():
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._database.execute("BEGIN EXCLUSIVE")  # the lock stays until it is closed
                self._database.execute(_TABLE)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Let another process have the file."""
        self._database.close()

    def load(self, name: str) -> FeedState:
        """What is remembered of a feed; of one that is new, nothing."""
        with self._faults():
            row = self._database.execute("SELECT state FROM feeds WHERE name = ?", [name])
            found = row.fetchone()
        if found is None:
            return FeedState()
        try:
            return FeedState.model_validate_json(found[0])
        except ValidationError:
            raise StateError(
                f"{self._path}: what is remembered of {name} cannot be read",
                hint="Name another file with --state: entries that feeds still hold come again.",
            ) from None

    def save(self, states: Mapping[str, FeedState]) -> None:
        """Remember these, all or none; on the disk when this returns."""
        rows = [(name, state.model_dump_json()) for name, state in states.items()]
        with self._faults():
            self._database.execute("BEGIN")
            try:
                self._database.executemany(_SAVE, rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise UsageError(
                    f"{self._path}: another process polls feeds with this file",
                    hint="Stop it, or give each its own feeds and its own --state.",
                ) from None
            raise StateError(
                f"{self._path}: cannot keep what is remembered of feeds: {error}",
                hint="Name a file that can be written with --state.",
            ) from None
