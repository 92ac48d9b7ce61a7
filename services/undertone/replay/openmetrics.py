"""Replayed series as OpenMetrics text with their own times, for `promtool` to load.

The names, labels and help texts are those that `undertone watch` exposes live: they are read from
its own exposition. Prometheus looks back five minutes for a sample, and a window is written when
its numbers change, so each value is written again every `step_seconds` while its window holds
mentions; an alert while it fires; a counter for an hour around each rise, so that `rate()` and
`increase()` over up to an hour see every step. What counts nothing is absent.

What is added goes to a spool file beside the result (about 80 bytes a trend point), which SQLite
keeps in the order of series and time: families must be contiguous, and the memory bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from prometheus_client import CollectorRegistry

from undertone.alerting.alertmanager import label_value, metric_labels, severities
from undertone.errors import InputFileError
from undertone.records import Alert, AlertState, Mention, TrendPoint
from undertone.watch.exposition import SIGNALS, Exposition, SourceLabels, sentiment_of

DEFAULT_STEP_SECONDS = 300
NOTIFIED = "replay"  # nobody was told: no rule of deploy/ matches it
_COUNTER_HOLD_MS = 3_600_000
_BATCH_ROWS = 5_000
_WINDOW_COLUMNS = (
    "mentions",
    "stories",
    "mean_score",
    "negative_share",
    *(f"surprise_{signal}" for signal in SIGNALS),
    *(f"expected_{signal}" for signal in SIGNALS),
)
_BY_SIGNAL = {
    "undertone_window_surprise": "surprise",
    "undertone_window_expected": "expected",
}
_TABLES = f"""
    CREATE TABLE windows (series INTEGER, at INTEGER, {", ".join(_WINDOW_COLUMNS)},
                          PRIMARY KEY (series, at)) WITHOUT ROWID;
    CREATE TABLE counters (series INTEGER, at INTEGER, value,
                           PRIMARY KEY (series, at)) WITHOUT ROWID;
    CREATE TABLE firing (labels TEXT, at INTEGER, ends INTEGER,
                         PRIMARY KEY (labels, at)) WITHOUT ROWID;
"""
_ADD_WINDOW = f"INSERT OR REPLACE INTO windows VALUES (?, ?{', ?' * len(_WINDOW_COLUMNS)})"
_ADD_COUNTER = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?)"
_ADD_FIRING = "INSERT OR REPLACE INTO firing VALUES (?, ?, ?)"

Labels = tuple[tuple[str, str], ...]
Sample = tuple[int, float]  # milliseconds since 1970, value
_Rise = tuple[int, int, float]  # series, milliseconds since 1970, value


class _Rising:
    """A counter: its value, and the grid instant at which its last rise shows."""

    __slots__ = ("shown_ms", "value")

    def __init__(self) -> None:
        self.shown_ms: int | None = None
        self.value = 0.0


class OpenMetricsFile:
    """Writes what `watch` would have exposed to `path`; a context manager.

    Add records in the order of their times. The file is written when the block ends, by an error
    or an interrupt too. `step_seconds` is how often a standing value is repeated: more than 300
    needs a Prometheus with a longer `--query.lookback-delta`. Raises InputFileError where the file
    cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        step_seconds: int = DEFAULT_STEP_SECONDS,
        allowed_lateness_ms: int = 3_600_000,
    ) -> None:
        self.path = path
        self._step_ms = step_seconds * 1000
        self._lateness_ms = allowed_lateness_ms
        self._spool_path = path.with_name(f"{path.name}.spool")
        self._windows: dict[tuple[str, str, str], int] = {}
        self._counters: dict[tuple[str, Labels], tuple[int, _Rising]] = {}
        self._sources = SourceLabels()
        self._open: dict[str, dict[str, int]] = {}  # alert → labels → since when
        self._rows: list[tuple[float | None, ...]] = []
        self._rises: list[_Rise] = []
        self._latest_ms = 0

    def __enter__(self) -> Self:
        try:
            self._spool_path.unlink(missing_ok=True)
            self._spool = sqlite3.connect(self._spool_path, isolation_level=None)
            self._spool.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES)
        except (OSError, sqlite3.Error) as error:
            raise self._cannot_write(error) from None
        return self

    def add(self, record: TrendPoint | Alert | Mention) -> None:
        """Take the next record: trend points and alerts, and mentions for the counters."""
        if isinstance(record, TrendPoint):
            self._add_point(record)
        elif isinstance(record, Alert):
            self._add_alert(record)
        else:
            self._add_mention(record)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        part = self.path.with_name(f"{self.path.name}.part")
        try:
            self._finish()
            with part.open("w", encoding="utf-8", newline="\n") as file:
                self._write(file)
            part.replace(self.path)
        except (OSError, sqlite3.Error) as failure:
            raise self._cannot_write(failure) from None
        finally:
            self._spool.close()
            self._spool_path.unlink(missing_ok=True)
            part.unlink(missing_ok=True)

    def _cannot_write(self, error: Exception) -> InputFileError:
        return InputFileError(f"{self.path}: cannot be written: {error}")

    # What goes into the spool.

    def _add_point(self, point: TrendPoint) -> None:
        key = (point.subject, point.kind, point.window)
        series = self._windows.setdefault(key, len(self._windows))
        fields = point.__dict__
        self._rows.append(
            (series, point.window_end, *(fields[column] for column in _WINDOW_COLUMNS))
        )
        self._latest_ms = max(self._latest_ms, point.window_end)
        if len(self._rows) >= _BATCH_ROWS:
            self._flush_rows()

    def _add_alert(self, alert: Alert) -> None:
        resolved = alert.state is AlertState.RESOLVED
        at_ms = alert.resolved_at if resolved and alert.resolved_at else alert.detected_at
        self._latest_ms = max(self._latest_ms, at_ms)
        since = self._open.setdefault(alert.id, {})
        for severity in severities(alert):
            labels = metric_labels(alert, severity) | {"notified": NOTIFIED}
            since.setdefault(_format_labels(sorted(labels.items())), alert.detected_at)
        if resolved:
            self._end(self._open.pop(alert.id), at_ms)
        labels = {"state": str(alert.state), "severity": str(alert.severity)}
        self._count("undertone_alert_revisions", tuple(labels.items()), 1, at_ms)

    def _add_mention(self, mention: Mention) -> None:
        sentiment, at_ms = sentiment_of(mention), mention.ingested_at
        labels: Labels = (("subject", label_value(mention.subject)), ("kind", str(mention.kind)))
        self._count("undertone_mentions", (*labels, ("sentiment", sentiment)), 1, at_ms)
        source = ("source", self._sources.of(labels[0][1], mention.source))
        self._count("undertone_source_mentions", (labels[0], source), 1, at_ms)
        if sentiment != "unscored":
            positive, negative = mention.p_positive or 0.0, mention.p_negative or 0.0
            self._count("undertone_sentiment_positive", labels, positive, at_ms)
            self._count("undertone_sentiment_negative", labels, negative, at_ms)
        if at_ms - mention.published_at > self._lateness_ms:
            self._count("undertone_late", (), 1, at_ms)

    def _count(self, family: str, labels: Labels, increase: float, at_ms: int) -> None:
        key = (family, labels)
        if key not in self._counters:
            self._counters[key] = (len(self._counters), _Rising())
        series, rising = self._counters[key]
        # As a scrape would see it: at the next instant of the grid.
        shown_ms = -(-at_ms // self._step_ms) * self._step_ms
        if rising.shown_ms is not None and shown_ms > rising.shown_ms:
            self._rises.append((series, rising.shown_ms, rising.value))
            if len(self._rises) >= _BATCH_ROWS:
                self._flush_rises()
        rising.shown_ms = max(rising.shown_ms or 0, shown_ms)
        rising.value += increase
        self._latest_ms = max(self._latest_ms, at_ms)

    def _end(self, since: dict[str, int], ends_ms: int) -> None:
        rows = [(labels, begun_ms, ends_ms) for labels, begun_ms in since.items()]
        self._insert(_ADD_FIRING, rows)

    def _flush_rows(self) -> None:
        self._insert(_ADD_WINDOW, self._rows)
        self._rows.clear()

    def _flush_rises(self) -> None:
        self._insert(_ADD_COUNTER, self._rises)
        self._rises.clear()

    def _insert(self, statement: str, rows: Sequence[Sequence[float | str | None]]) -> None:
        try:
            self._spool.execute("BEGIN")
            self._spool.executemany(statement, rows)
            self._spool.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._cannot_write(error) from None

    def _finish(self) -> None:
        for series, rising in self._counters.values():
            assert rising.shown_ms is not None
            self._rises.append((series, rising.shown_ms, rising.value))
        for since in self._open.values():
            self._end(since, self._latest_ms + 1)
        self._flush_rows()
        self._flush_rises()

    # What comes out of it.

    def _write(self, file: TextIO) -> None:
        for name, kind, text in _families():
            lines = self._family(name)
            if (first := next(lines, None)) is None:
                continue
            file.write(f"# HELP {name} {_escape(text)}\n# TYPE {name} {kind}\n")
            file.write(first)
            file.writelines(lines)
        file.write("# EOF\n")

    def _family(self, name: str) -> Iterator[str]:
        """The lines of a family, series by series, each in order of time."""
        if name == "undertone_alert_firing":
            yield from self._firing_lines(name)
        elif (measure := _BY_SIGNAL.get(name)) is not None:
            for subject, kind, window in sorted(self._windows):
                for signal in SIGNALS:
                    labels = _window_labels(subject, kind, window, signal)
                    series = self._windows[subject, kind, window]
                    yield from _lines(name, labels, self._held(series, f"{measure}_{signal}"))
        elif (column := name.removeprefix("undertone_window_")) in _WINDOW_COLUMNS:
            for key in sorted(self._windows):
                samples = self._held(self._windows[key], column)
                yield from _lines(name, _window_labels(*key), samples)
        else:
            for (family, pairs), (series, _rising) in sorted(
                self._counters.items(), key=lambda item: item[0]
            ):
                if family == name:
                    samples = self._stepped(series)
                    yield from _lines(f"{name}_total", _format_labels(pairs), samples)

    def _held(self, series: int, column: str) -> Iterator[Sample]:
        """A window's values, each again every step while the window holds mentions."""
        rows = self._spool.execute(
            f"SELECT at, mentions, {column} FROM windows WHERE series = ? ORDER BY at", (series,)
        )
        last: tuple[int, int, float | None] | None = None
        for row in rows:
            if last is not None:
                yield from self._hold(*last, until_ms=row[0])
            last = row
        if last is not None:
            yield from self._hold(*last, until_ms=self._latest_ms + 1)

    def _hold(
        self, at_ms: int, mentions: int, value: float | None, *, until_ms: int
    ) -> Iterator[Sample]:
        if value is None:
            return
        end_ms = until_ms if mentions else at_ms + 1
        for instant in range(at_ms, end_ms, self._step_ms):
            yield instant, value

    def _stepped(self, series: int) -> Iterator[Sample]:
        """A counter's values on the grid, for an hour around each rise."""
        step, hold = self._step_ms, _COUNTER_HOLD_MS
        before_ms, value = None, 0.0
        for at_ms, raised in self._spool.execute(
            "SELECT at, value FROM counters WHERE series = ? ORDER BY at", (series,)
        ):
            lead_ms = at_ms - max(step, hold // step * step)
            if before_ms is not None:
                after_ms = min(at_ms, before_ms + hold + step)
                yield from ((t, value) for t in range(before_ms + step, after_ms, step))
                lead_ms = max(lead_ms, after_ms)
            yield from ((t, value) for t in range(lead_ms, at_ms, step))
            yield at_ms, raised
            before_ms, value = at_ms, raised
        if before_ms is not None:
            end_ms = min(before_ms + hold, self._latest_ms) + 1
            yield from ((t, value) for t in range(before_ms + step, end_ms, step))

    def _firing_lines(self, name: str) -> Iterator[str]:
        rows = self._spool.execute("SELECT labels, at, ends FROM firing ORDER BY labels, at")
        last: tuple[str, int] = ("", 0)
        for labels, at_ms, ends_ms in rows:
            first_ms = max(at_ms, last[1] + 1) if labels == last[0] else at_ms
            samples = [(t, 1.0) for t in range(first_ms, ends_ms, self._step_ms)]
            yield from _lines(name, labels, samples)
            if samples:
                last = (labels, samples[-1][0])


def _families() -> Iterator[tuple[str, str, str]]:
    """Name, type and help of every family that the watcher exposes, gauges of windows first."""
    registry = CollectorRegistry()
    Exposition(registry, wall_clock=lambda: 0.0, live=False)
    for family in registry.collect():
        if family.type == "counter" or family.name.startswith(
            ("undertone_window_", "undertone_alert_firing")
        ):
            yield family.name, family.type, family.documentation


def _window_labels(subject: str, kind: str, window: str, signal: str | None = None) -> str:
    labels = {"subject": label_value(subject), "kind": label_value(kind)}
    if signal is not None:
        labels["signal"] = signal
    return _format_labels((labels | {"window": window}).items())


def _format_labels(labels: Iterable[tuple[str, str]]) -> str:
    text = ",".join(f'{name}="{_escape(value)}"' for name, value in labels)
    return f"{{{text}}}" if text else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _lines(name: str, labels: str, samples: Iterable[Sample]) -> Iterator[str]:
    for at_ms, value in samples:
        seconds, rest_ms = divmod(at_ms, 1000)
        stamp = f"{seconds}.{rest_ms:03d}" if rest_ms else str(seconds)
        number = int(value) if float(value).is_integer() else repr(round(value, 6))
        yield f"{name}{labels} {number} {stamp}\n"
