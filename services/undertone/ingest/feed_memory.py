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
_RENAME = "UPDATE OR IGNORE feeds SET name = ? WHERE name = ?"
_FORGET = "DELETE FROM feeds WHERE name = ?"


class FeedMemory:
    """The states of feeds by key, in a file that one process at a time may have.

    Raises UsageError where another has it, StateError where it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._faults():
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._database.execute("PRAGMA secure_delete = ON")  # an address may hold a key
                self._database.execute("BEGIN EXCLUSIVE")  # the lock stays until it is closed
                self._database.execute(_TABLE)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Let another process have the file."""
        self._database.close()

    def rename(self, keys: Mapping[str, str]) -> None:
        """Remember by new keys what is remembered by former ones, and leave no trace of those."""
        changed = [(key, former) for former, key in keys.items() if key != former]
        with self._faults(), self._transaction():
            for new_and_former in changed:
                # Where both are there, what the new one has is later.
                self._database.execute(_RENAME, new_and_former)
                self._database.execute(_FORGET, new_and_former[1:])

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
        with self._faults(), self._transaction():
            self._database.executemany(_SAVE, rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
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
