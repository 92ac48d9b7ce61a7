"""How far `undertone ingest` has come with its files, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from undertone.records import format_instant

if TYPE_CHECKING:
    from undertone.ingest.planning import TimedRecord


class Meter:
    """Shows beside the bar how many messages are written, and how far recorded time has come."""

    EVERY_SECONDS = 0.2

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._written = 0
        self._shown_seconds = float("-inf")

    def on_sent(self, record: TimedRecord, sent_seconds: float) -> None:
        """Count one record, and show the count now and then."""
        self._written += not record.is_tick
        if sent_seconds - self._shown_seconds < self.EVERY_SECONDS or not self._progress.tasks:
            return
        self._shown_seconds = sent_seconds
        status = f"{self._written:,} written"
        if record.timestamp_ms is not None:
            status += f", recorded time {format_instant(record.timestamp_ms // 1000 * 1000)}"
        self._progress.update(self._progress.task_ids[-1], status=status)


def reading_progress(console: Console) -> Progress:
    """Bars of files read; none where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
        disable=not console.is_terminal,
    )
