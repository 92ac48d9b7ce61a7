"""What replays keep between runs: scores by model, text and target, and the mentions of a source.

One SQLite file in the user's cache folder. Scores make a second reading of the same texts free of
the model; the mentions of a whole source, packed, also free of reading and matching. It holds
excerpts of the messages: delete it like any other copy of them.

Every batch is committed, so a replay that is killed resumes from what it had scored.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from undertone.errors import UndertoneError
from undertone.scoring.cache import pair_key
from undertone.transport.broker_jars import cache_dir
from undertone_models.answers import Scores
from undertone_models.classifier import Pair

SCHEMA_VERSION = 1
PAIRS_A_QUERY = 500  # SQLite takes at least 999 parameters
LOGS_KEPT = 16
FORSAKEN_SECONDS = 3 * 86_400  # after which nobody is still writing a log
BUSY_SECONDS = 30.0
FILE_NAME = "replay.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS scores (
    key BLOB PRIMARY KEY, negative REAL NOT NULL, neutral REAL NOT NULL, positive REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL, summary BLOB, used INTEGER,
    created INTEGER DEFAULT (strftime('%s', 'now'))
);
CREATE INDEX IF NOT EXISTS logs_by_identity ON logs (identity);
CREATE TABLE IF NOT EXISTS chunks (
    log INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (log, number)
) WITHOUT ROWID;
"""


def default_store() -> Path:
    """The file in the user's cache folder."""
    return cache_dir() / FILE_NAME


class Store:
    """Scores and packed mention logs in one file. For one thread; processes may share the file."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises UndertoneError where the file cannot be used."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from None

    def _prepare(self) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, not {SCHEMA_VERSION}")
        if version == 0:
            self._db.executescript(_TABLES)
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self.path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Scores.

    def get(self, model: str, pairs: Sequence[Pair]) -> dict[Pair, Scores]:
        """The scores that are known of these pairs."""
        by_key = {pair_key(model, pair): pair for pair in pairs}
        keys = list(by_key)
        found: dict[Pair, Scores] = {}
        for start in range(0, len(keys), PAIRS_A_QUERY):
            some = keys[start : start + PAIRS_A_QUERY]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, negative, neutral, positive FROM scores WHERE key IN ({marks})"
            with self._reading():
                rows = self._db.execute(query, some).fetchall()
            for key, negative, neutral, positive in rows:
                found[by_key[key]] = (negative, neutral, positive)
        return found

    def put(self, model: str, scores: Iterable[tuple[Pair, Scores]]) -> None:
        """Keep scores; committed when this returns."""
        rows = [(pair_key(model, pair), *values) for pair, values in scores]
        if not rows:
            return
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)

    # Packed mention logs.

    def begin_log(self, identity: str) -> int:
        """The number of a new log; it counts once it is finished."""
        with self._transaction():
            forsaken = self._db.execute(
                "SELECT id FROM logs WHERE summary IS NULL"
                " AND created < CAST(strftime('%s', 'now') AS INTEGER) - ?",
                (FORSAKEN_SECONDS,),
            ).fetchall()
            for (old,) in forsaken:
                self._drop(old)
            cursor = self._db.execute(
                "INSERT INTO logs (identity, summary, used) VALUES (?, NULL, 0)", (identity,)
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_chunk(self, log: int, number: int, lines: Sequence[bytes]) -> None:
        """Append lines (without line ends inside) to a log."""
        data = zlib.compress(b"\n".join(lines), 1)
        with self._transaction():
            self._db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (log, number, data))

    def finish_log(self, log: int, summary: dict[str, Any]) -> None:
        """Make a log complete, and drop those that were not used for longest."""
        with self._transaction():
            self._db.execute(
                "UPDATE logs SET summary = ? WHERE id = ?", (orjson.dumps(summary), log)
            )
            self._note_use(log)
            kept = self._db.execute(
                "SELECT id FROM logs WHERE summary IS NOT NULL"
                " ORDER BY used DESC LIMIT -1 OFFSET ?",
                (LOGS_KEPT,),
            ).fetchall()
            for (old,) in kept:
                self._drop(old)

    def drop_log(self, log: int) -> None:
        """Forget a log and its chunks."""
        with self._transaction():
            self._drop(log)

    def find_log(self, identity: str) -> tuple[int, dict[str, Any]] | None:
        """The number and the summary of a complete log of this source; it counts as used now."""
        with self._reading():
            row = self._db.execute(
                "SELECT id, summary FROM logs WHERE identity = ? AND summary IS NOT NULL"
                " ORDER BY id DESC LIMIT 1",
                (identity,),
            ).fetchone()
            if row is None:
                return None
            log, summary = int(row[0]), orjson.loads(row[1])
        # A disk that is full keeps nobody from reading.
        with suppress(UndertoneError), self._transaction():
            self._note_use(log)
        return log, summary

    def chunks(self, log: int) -> int:
        """How many chunks a log has."""
        query = "SELECT COUNT(*) FROM chunks WHERE log = ?"
        with self._reading():
            return int(self._db.execute(query, (log,)).fetchone()[0])

    def lines(self, log: int) -> Iterator[tuple[int, list[bytes]]]:
        """Each chunk of a log: its number, and its lines."""
        for number in range(self.chunks(log)):
            with self._reading():
                row = self._db.execute(
                    "SELECT data FROM chunks WHERE log = ? AND number = ?", (log, number)
                ).fetchone()
                if row is None:
                    raise sqlite3.DatabaseError(f"chunk {number} of a log is missing")
                lines = zlib.decompress(row[0]).split(b"\n")
            yield number, lines

    def _note_use(self, log: int) -> None:
        self._db.execute(
            "UPDATE logs SET used = (SELECT COALESCE(MAX(used), 0) + 1 FROM logs) WHERE id = ?",
            (log,),
        )

    def _drop(self, log: int) -> None:
        self._db.execute("DELETE FROM chunks WHERE log = ?", (log,))
        self._db.execute("DELETE FROM logs WHERE id = ?", (log,))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raises UndertoneError where what is read is damaged."""
        try:
            yield
        except (sqlite3.Error, zlib.error, orjson.JSONDecodeError) as error:
            raise _unusable(self.path, error) from None

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db, self.path)


def _unusable(path: Path, error: Exception) -> UndertoneError:
    return UndertoneError(
        f"{path}: the store of scores cannot be used: {error}",
        hint="Delete it, or name another with --store.",
    )


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; a full disk is told as what it is."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._db.execute("COMMIT")
        except sqlite3.Error as refused:  # a full disk shows when the pages are written
            error = refused
        if error is not None and self._db.in_transaction:  # SQLite may have gone back by itself
            self._db.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise self._unwritable(error) from None

    def _unwritable(self, error: sqlite3.Error) -> UndertoneError:
        if not isinstance(error, sqlite3.OperationalError):  # damaged, not full or locked
            return _unusable(self._path, error)
        return UndertoneError(
            f"{self._path}: cannot be written: {error}",
            hint="Make room on its disk, or name another file with --store; what it holds stays.",
        )
