"""The metrics of `undertone score`, on the registry that they are given."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ScoreMetrics:
    """All metrics of one scorer. Counters of this process; the exact accounting is in the log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "undertone_score_messages_total",
            "Messages done, by what became of them.",
            ["topic", "outcome"],
            registry=registry,
        )
        self.mentions = Counter(
            "undertone_score_mentions_total", "Mentions sent.", ["status"], registry=registry
        )
        self.stage_seconds = Counter(
            "undertone_score_stage_seconds_total",
            "Time that each stage has worked.",
            ["stage"],
            registry=registry,
        )
        self.tokens = Counter(
            "undertone_score_tokens_total",
            "Tokens that forward passes processed: real ones, and padding.",
            ["kind"],
            registry=registry,
        )
        self.batch_fill = Gauge(
            "undertone_score_batch_fill_ratio",
            "Real tokens in the last forward passes, of those processed with padding.",
            registry=registry,
        )
        self.queue_items = Gauge(
            "undertone_score_queue_items", "Items waiting.", ["queue"], registry=registry
        )
        self.lag = Gauge(
            "undertone_score_lag_records",
            "Records of a raw partition that are not done yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self.complete_until = Gauge(
            "undertone_score_complete_until_seconds",
            "All that arrived before this time is scored; seconds since 1970.",
            ["topic", "partition"],
            registry=registry,
        )
        self.cache_requests = Counter(
            "undertone_score_cache_requests_total",
            "Pairs looked up in the cache of scores.",
            ["outcome"],
            registry=registry,
        )
        self.model_changes = Counter(
            "undertone_score_model_changes_total",
            "Changes of model that were asked for, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.paused_seconds = Counter(
            "undertone_score_paused_seconds_total",
            "Time that no records were read because too much was in flight.",
            registry=registry,
        )
        self.in_flight = Gauge(
            "undertone_score_in_flight_records",
            "Records read and not done yet.",
            registry=registry,
        )
        self.latency = Histogram(
            "undertone_score_stage_latency_seconds",
            "From a record's arrival here to the end of each stage, of the oldest in each batch.",
            ["stage"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.dead_letters = Counter(
            "undertone_dead_letters_total", "Dead letters sent.", ["stage"], registry=registry
        )
        for stage in ("decode", "match", "score"):
            self.dead_letters.labels(stage)  # increase() does not see a first value
        self.ignored_tags = Counter(
            "undertone_ignored_tags_total",
            "Tags of producers that stand for no subject of the watchlist.",
            registry=registry,
        )
        for outcome in ("hit", "miss"):
            self.cache_requests.labels(outcome)
        for kind in ("real", "padding"):
            self.tokens.labels(kind)
        for outcome in ("taken_up", "refused"):
            self.model_changes.labels(outcome)
        for status in ("scored", "unscored"):
            self.mentions.labels(status)
        for stage in ("decode", "tokenise", "forward", "produce"):
            self.stage_seconds.labels(stage)
            self.latency.labels(stage)

    def worked(self, stage: str, started: float, read_at: Iterable[float] = ()) -> None:
        """A stage has worked since `started` on records read at these times (perf_counter)."""
        now = time.perf_counter()
        self.stage_seconds.labels(stage).inc(now - started)
        oldest = min(read_at, default=None)
        if oldest is not None:
            self.latency.labels(stage).observe(now - oldest)
