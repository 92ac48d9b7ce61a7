"""The metrics of `undertone serve`, on the registry that they are given."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
USUAL_MESSAGE_STATUSES = (202, 400, 401, 413, 422, 503)
USUAL_STATUSES = (200, 400, 401, 413, 422, 500, 503, 504)


class ServeMetrics:
    """All metrics of one service; requests are those to `/v1/sentiment`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "undertone_serve_requests_total",
            "Requests answered, by HTTP status.",
            ["status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "undertone_serve_request_seconds",
            "Time from a request's headers to the end of its answer.",
            registry=registry,
            buckets=LATENCY_SECONDS,
        )
        self.pairs = Counter(
            "undertone_serve_pairs_total",
            "Pairs done, by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self.batches = Counter(
            "undertone_serve_batches_total", "Batches given to the model.", registry=registry
        )
        self.batch_fill = Gauge(
            "undertone_serve_batch_fill_ratio",
            "Real tokens in the last batch, of those processed with padding.",
            registry=registry,
        )
        self.queue_items = Gauge(
            "undertone_serve_queue_items", "Pairs that wait for the model.", registry=registry
        )
        self.stage_seconds = Counter(
            "undertone_serve_stage_seconds_total",
            "Time that each stage has worked.",
            ["stage"],
            registry=registry,
        )
        self.message_requests = Counter(
            "undertone_serve_message_requests_total",
            "Requests that brought messages, by HTTP status.",
            ["status"],
            registry=registry,
        )
        self.messages = Counter(
            "undertone_serve_messages_total",
            "Messages that Kafka has acknowledged.",
            registry=registry,
        )
        for status in USUAL_MESSAGE_STATUSES:
            self.message_requests.labels(str(status))
        for status in USUAL_STATUSES:
            self.requests.labels(str(status))  # increase() does not see a first value
        for outcome in ("scored", "failed"):
            self.pairs.labels(outcome)
        for stage in ("tokenise", "forward"):
            self.stage_seconds.labels(stage)
