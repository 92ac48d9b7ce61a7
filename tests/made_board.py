"""A board with records in it, for tests of its pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from builders import HOUR_MS, MINUTE_MS
from made_alerts import START_MS, made_alert, made_trend_point, resolved, risen
from made_results import HOSTILE
from undertone.board.app import Pages, build_app
from undertone.board.metrics import BoardMetrics
from undertone.board.reader import Reader
from undertone.board.state import BoardState, Listed
from undertone.records import Alert, Evidence, TrendPoint
from undertone.settings import KafkaSettings
from undertone.transport.topics import TopicNames

WATCHLIST = {
    "acme": Listed("Acme Corporation", "company"),
    "hostile": Listed(HOSTILE, "person"),
    "quiet": Listed("Quiet Ltd", "company"),
}


def points(subject: str = "acme", hours: int = 48) -> Iterable[TrendPoint]:
    """Two windows and two kinds, hour by hour up to `START_MS`, with a burst at their end."""
    for hour in range(hours):
        at_ms = START_MS - (hours - 1 - hour) * HOUR_MS
        burst = 12 if hour >= hours - 3 else 0
        for kind in ("news", "social"):
            for window in ("1h", "24h"):
                yield made_trend_point(
                    subject=subject,
                    kind=kind,
                    window=window,
                    window_end=at_ms,
                    stories=2 + hour % 3 + burst,
                    negative=1 + burst,
                    neutral=1 + hour % 3,
                    positive=0,
                    mean_score=-0.6 if burst else 0.1,
                    surprise_negative_volume=5.25 if burst else 0.3,
                    surprise_volume=2.0,
                )


def hostile_alert() -> Alert:
    """An alert with markup wherever others may write, and addresses that must not become links."""
    proof = made_alert().evidence[0]
    hostile = [
        Evidence(**(proof.model_dump() | {"message_id": f"h{n}", "excerpt": HOSTILE, "url": url}))
        for n, url in enumerate(["javascript:document.title='owned'", "https://a.example/" * 40])
    ]
    return made_alert(
        id="hostile-1", subject="hostile", name=HOSTILE, labels={"desk": HOSTILE},
        evidence=(proof, *hostile), detected_at=START_MS - HOUR_MS,
    )  # fmt: skip


def records() -> list[TrendPoint | Alert]:
    """An alert that rose and is open, one that is over, a hostile one, and trends of two."""
    first = made_alert(surprise=4.5)
    over = made_alert(id="acme-0", rule="tone-shift", detected_at=START_MS - 30 * HOUR_MS)
    return [
        *points(),
        *points("hostile", 6),
        over,
        resolved(over),
        first,
        risen(first).model_copy(
            update={
                "surprise": 6.25,
                "detected_at": START_MS + 5 * MINUTE_MS,
                "escalated_at": START_MS + 5 * MINUTE_MS,
            }
        ),
        hostile_alert(),
    ]


@dataclass
class MadeBoard:
    """The pages of a state, as they are when the topics have been read."""

    watchlist: dict[str, Listed] = field(default_factory=lambda: dict(WATCHLIST))
    token: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = BoardState(self.watchlist)
        self.registry = CollectorRegistry()
        metrics = BoardMetrics(self.registry)
        lock = threading.Lock()
        self.reader = Reader(  # never started: the tests' records are put into the state
            KafkaSettings(), TopicNames("made"), self.state, lock, metrics,
            past_ms=1, on_end=lambda: None,
        )  # fmt: skip
        self.reader.is_ready = True
        options = {"wall_clock_ms": None} | self.options
        pages = Pages(self.state, lock, self.reader, **options)
        self.app: Starlette = build_app(
            pages, self.reader, metrics, self.registry, token=self.token
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One request, without a socket."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://board") as client:
                return await client.get(path, **options)

        return asyncio.run(asked())

    def take(self, *taken: TrendPoint | Alert) -> MadeBoard:
        for record in taken:
            self.state.take(record)
        return self
