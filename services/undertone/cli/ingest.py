"""`undertone ingest`: files, standard input and feeds into the raw topics."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, cast

import typer
from rich.console import Console
from rich.progress import Progress

from undertone.cli.ingest_feeds import FeedOptions, poll_feeds, sentence
from undertone.cli.ingest_progress import Meter, reading_progress
from undertone.cli.options import BootstrapOption, ConfigOption, JsonOption, PrefixOption
from undertone.durations import parse_duration
from undertone.errors import InputFileError, UndertoneError, UsageError
from undertone.ingest.readers import Reject, Row, merge_by_id, read_rows
from undertone.ingest.rejects import RejectLog
from undertone.records import Kind, parse_instant
from undertone.settings import Settings, load_settings
from undertone.telemetry import configure_logging

if TYPE_CHECKING:
    from undertone.ingest.planning import TimedRecord

STDIN = "-"
FORMATS = ("auto", "jsonl", "csv")


@dataclass(frozen=True)
class _Options:
    """The command line, parsed; times in ms, `speed` None for live and 0 for full speed."""

    files: list[str]
    speed: float | None
    format: Literal["jsonl", "csv"] | None
    topic: str | None
    merge: bool
    delay_ms: int
    from_ms: int | None
    until_ms: int | None
    end_ms: int | None


def command(
    files: Annotated[
        list[str] | None, typer.Argument(help="JSON lines or CSV, .gz too; - is stdin.")
    ] = None,
    *,
    feed: Annotated[
        list[str] | None,
        typer.Option(help="Poll this RSS or Atom feed, until stopped; may be given many times."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="With --feed: what was read is kept here (default: PREFIX.feeds.sqlite)."
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="With --feed: the time between two polls (default: 5m).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="With --feed: poll once and end.")] = False,
    source: Annotated[
        str | None, typer.Option(help="With --feed: the source's name (default: the feed's title).")
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="With --feed: what it brings (default: news).")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="With --feed: its language (default: as it says).")
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            help="Play recorded time: `max`, or `60x` for sixty recorded seconds a second. "
            "Without it messages are live: the broker stamps them as they come."
        ),
    ] = None,
    delay: Annotated[
        str, typer.Option(help="Arrival after publication, where a row has no arrived_at.")
    ] = "0s",
    topic: Annotated[str | None, typer.Option(help="One raw topic for everything.")] = None,
    row_format: Annotated[
        str, typer.Option("--format", help="jsonl or csv; auto goes by the file's name.")
    ] = "auto",
    merge: Annotated[
        bool, typer.Option("--merge-by-id", help="Rows of one id and moment are one message.")
    ] = False,
    rejects: Annotated[Path | None, typer.Option(help="Rows that are no message go here.")] = None,
    from_time: Annotated[
        str | None, typer.Option("--from", help="Only arrivals at or after this time.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only arrivals before this time.")] = None,
    end: Annotated[
        str | None, typer.Option(help="With --speed: recorded time goes on until here.")
    ] = None,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write messages from files, standard input or feeds to the raw topics.

    A time is written as 2008-09-15, 2008-09-15T06:30:00Z or with another offset.
    """
    from undertone.ingest.service import Ingestor, in_recorded_time
    from undertone.transport.raw_topics import prepare_topics

    feeds = FeedOptions(feed or [], state, every, once, source, kind, language)
    _check_inputs(files, feeds)
    if feeds.urls:
        others = {
            "--speed": speed,
            "--rejects": rejects,
            "--from": from_time,
            "--until": until,
            "--end": end,
            "--merge-by-id": merge or None,
            "--delay": None if delay == "0s" else delay,
            "--format": None if row_format == "auto" else row_format,
        }
        _refuse(others, "a feed is live, and its entries are no rows")
        configure_logging()
        settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
        told = poll_feeds(feeds, settings, topic)
        print(json.dumps(told) if json_output else sentence(told))
        return
    options = _Options(
        files or [],
        speed=_speed(speed),
        format=_format(row_format),
        topic=topic,
        merge=merge,
        delay_ms=_duration("--delay", delay),
        from_ms=_instant("--from", from_time),
        until_ms=_instant("--until", until),
        end_ms=_instant("--end", end),
    )
    _check(options)
    console = Console(stderr=True)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    if options.speed is not None:
        declared, settings = settings, in_recorded_time(settings)
        if settings is not declared:
            console.print(
                "Taking the raw topics for recorded time; set `clock: recorded` for them in "
                "undertone.yaml, so that `score` and `watch` know it too.",
                style="yellow",
            )
    started = time.monotonic()
    with RejectLog(rejects) as log, reading_progress(console) as progress:
        records = _records(options, settings, log, progress)
        prepare_topics(settings)
        counts = Ingestor(settings.kafka, on_sent=Meter(progress).on_sent).run(records)
    if counts.ingested == 0 and log.first is not None:
        where = f"{log.first.file}: line {log.first.line}" if log.first.file else "line 1"
        raise UndertoneError(
            f"no row could be ingested ({log.count} rejected); the first: {where}: "
            f"{log.first.error}",
            hint="`fields` in undertone.yaml maps other names of fields to ours.",
        )
    summary = {
        "ingested": counts.ingested,
        "rejected": log.count,
        "ticks": counts.ticks,
        "seconds": round(time.monotonic() - started, 3),
    }
    print(json.dumps(summary) if json_output else _sentence(summary, rejects))


def _records(
    options: _Options, settings: Settings, log: RejectLog, progress: Progress
) -> Iterator[TimedRecord]:
    """The pipeline from files to records; it reads as it is iterated."""
    from undertone.ingest import planning

    routes = planning.Routes(settings.effective_raw_topics, only=options.topic)
    is_live = options.speed is None
    routes.require_clock("live" if is_live else "recorded")
    arrivals = planning.arrivals_of(
        _rows(options, settings, progress),
        reject=log.add,
        delay_ms=options.delay_ms,
        from_ms=options.from_ms,
        until_ms=options.until_ms,
        latest_ms=None if is_live else round(time.time() * 1000) + planning.FUTURE_LIMIT_MS,
    )
    if is_live:
        return planning.plan_live(arrivals, routes)
    speed = options.speed or None
    ticks = planning.TickPolicy.for_speed(speed)
    ordered = planning.in_arrival_order(arrivals)
    records = planning.plan(ordered, routes, ticks, end_ms=options.end_ms)
    if speed is None:
        return records
    return planning.pace(records, speed, clock=time.monotonic, sleep=time.sleep)


def _rows(options: _Options, settings: Settings, progress: Progress) -> Iterator[Row | Reject]:
    from undertone.field_mapping import mapping_for

    for name in options.files:
        with ExitStack() as stack:
            file = stack.enter_context(_open(name, progress))
            mapping = mapping_for(name, settings.fields)
            rows = read_rows(file, name, mapping, format=options.format)
            yield from merge_by_id(rows) if options.merge else rows


def _open(name: str, progress: Progress) -> AbstractContextManager[BinaryIO]:
    """A file whose reading moves the bar."""
    if name == STDIN:
        progress.add_task("standard input", total=None, status="")
        return nullcontext(sys.stdin.buffer)
    task = progress.add_task(Path(name).name, status="")
    try:
        opened: Any = progress.open(name, "rb", task_id=task)
    except OSError as error:
        raise InputFileError(f"{name}: cannot be read: {error.strerror}") from None
    return cast(AbstractContextManager[BinaryIO], opened)


def _check_inputs(files: list[str] | None, feeds: FeedOptions) -> None:
    if bool(files) == bool(feeds.urls):
        raise UsageError("expected files (or - for standard input), or --feed with an address")
    if not feeds.urls:
        _refuse(dict.fromkeys(feeds.given, True), "is for feeds; give --feed too")


def _refuse(options: dict[str, Any], why: str) -> None:
    """Raise UsageError where one of these was given."""
    if given := [name for name, value in options.items() if value is not None]:
        raise UsageError(f"{', '.join(given)}: {why}")


def _check(options: _Options) -> None:
    if options.end_ms is not None and options.speed is None:
        raise UsageError("--end: only recorded time has an end; give --speed too")
    for name in options.files:
        if name != STDIN and not Path(name).exists():
            raise InputFileError(f"{name}: there is no such file")
        if Path(name).is_dir():
            raise InputFileError(f"{name}: is a folder; name the files in it")


def _speed(value: str | None) -> float | None:
    """`max` → 0, `60x` → 60."""
    if value is None:
        return None
    if value == "max":
        return 0
    try:
        speed = float(value.removesuffix("x"))
    except ValueError:
        speed = 0
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed {value}: expected max, or a factor such as 1x or 60x")
    return speed


def _format(value: str) -> Literal["jsonl", "csv"] | None:
    if value not in FORMATS:
        raise UsageError(f"--format {value}: expected one of {', '.join(FORMATS)}")
    return None if value == "auto" else cast(Literal["jsonl", "csv"], value)


def _duration(option: str, value: str) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _instant(option: str, value: str | None) -> int | None:
    """A time in ms; a bare date is its midnight in UTC."""
    if value is None:
        return None
    try:
        return parse_instant(value if "T" in value else f"{value}T00:00:00Z")
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _sentence(summary: dict[str, Any], rejects: Path | None) -> str:
    ticks = f", {summary['ticks']:,} ticks" if summary["ticks"] else ""
    kept = f" (in {rejects})" if rejects is not None and summary["rejected"] else ""
    return (
        f"{summary['ingested']:,} messages ingested, {summary['rejected']:,} rows rejected{kept}"
        f"{ticks}, in {summary['seconds']:,} s"
    )
