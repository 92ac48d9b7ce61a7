"""The metrics of `undertone score`, on the registry that they are given."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


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
        for status in ("scored", "unscored"):
            self.mentions.labels(status)
        for stage in ("decode", "tokenise", "forward", "produce"):
            self.stage_seconds.labels(stage)
