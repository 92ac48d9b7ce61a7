"""`undertone ingest --feed`: feeds polled until stopped."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from undertone.cli.stopping import stop_on_signals
from undertone.durations import parse_duration
from undertone.errors import UsageError
from undertone.records import Kind, RawMessage
from undertone.settings import Settings

LEAST_INTERVAL_MS = 10_000
USUAL_INTERVAL = "5m"
SOURCE_LIMIT = 256


@dataclass(frozen=True)
class FeedOptions:
    """The command line of feeds, as it was given."""

    urls: list[str]
    state: Path | None
    every: str | None
    once: bool
    source: str | None
    kind: Kind | None
    language: str | None

    @property
    def given(self) -> list[str]:
        """The options that mean something for feeds alone."""
        values = {
            "--state": self.state,
            "--every": self.every,
            "--once": self.once or None,
            "--source": self.source,
            "--kind": self.kind,
            "--language": self.language,
        }
        return [name for name, value in values.items() if value is not None]


def poll_feeds(options: FeedOptions, settings: Settings, topic: str | None) -> dict[str, Any]:
    """Poll until stopped (`once`: one time), and return what was done.

    SIGTERM ends it in order; Ctrl-C too, with the exit status 130.
    """
    from undertone.ingest.feed_fetching import FeedFetcher
    from undertone.ingest.feed_memory import FeedMemory
    from undertone.ingest.feed_polling import FeedPoller
    from undertone.ingest.feeds import Feed
    from undertone.ingest.planning import Routes, arrival_of, plan_live
    from undertone.ingest.service import Ingestor
    from undertone.transport.raw_topics import prepare_topics

    every_ms = _interval(options.every or USUAL_INTERVAL)
    _check(options)
    routes = Routes(settings.effective_raw_topics, only=topic)
    routes.require_clock("live")
    kind = options.kind or Kind.NEWS
    feeds = [
        Feed(url, options.source, kind, options.language) for url in dict.fromkeys(options.urls)
    ]

    def write(messages: Sequence[RawMessage]) -> object:
        return Ingestor(settings.kafka).run(plan_live(map(arrival_of, messages), routes))

    stopped = threading.Event()
    path = options.state or Path(f"{settings.prefix}.feeds.sqlite")
    started = time.monotonic()
    with closing(FeedMemory(path)) as memory, closing(FeedFetcher()) as fetcher:
        prepare_topics(settings)
        poller = FeedPoller(
            feeds,
            memory,
            fetcher,
            write,
            every_ms=every_ms,
            clock_ms=lambda: round(time.time() * 1000),
            wait=stopped.wait,
        )
        with _stopping_at_signals(stopped):
            counts = poller.run(once=options.once)
    return {**asdict(counts), "seconds": round(time.monotonic() - started, 3)}


def sentence(summary: dict[str, Any]) -> str:
    """The summary for a person."""
    return (
        f"{summary['ingested']:,} messages ingested in {summary['polls']:,} polls "
        f"({summary['unchanged']:,} without news, {summary['failed']:,} failed), "
        f"{summary['skipped']:,} entries skipped, in {summary['seconds']:,} s"
    )


def _stopping_at_signals(stopped: threading.Event) -> AbstractContextManager[None]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    return stop_on_signals(stopped.set) if in_main_thread else nullcontext()


def _check(options: FeedOptions) -> None:
    for url in options.urls:
        shown = _shown(url)
        if shown is None or not re.match(r"https?://[^\s/]\S*$", url, re.IGNORECASE):
            raise UsageError(
                f"--feed {shown or '…'}: expected an address such as https://host/feed.xml"
            )
    if options.source is not None and not 0 < len(options.source.strip()) <= SOURCE_LIMIT:
        raise UsageError(f"--source: expected a name of at most {SOURCE_LIMIT} characters")
    if options.language is not None and not re.fullmatch(
        r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}", options.language
    ):
        raise UsageError(f"--language {options.language}: expected a code such as en or zh-Hant")


def _shown(url: str) -> str | None:
    """An address as it may be shown; None where it is none at all."""
    from undertone.ingest.feeds import Feed

    try:
        return Feed(url).name
    except ValueError:
        return None


def _interval(value: str) -> int:
    try:
        every_ms = parse_duration(value)
    except ValueError as error:
        raise UsageError(f"--every: {error}") from None
    if every_ms < LEAST_INTERVAL_MS:
        raise UsageError(f"--every {value}: expected at least {LEAST_INTERVAL_MS // 1000}s")
    return every_ms
