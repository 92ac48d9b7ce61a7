"""What `watch` tells Prometheus: mentions, windows, the clock, and which alerts fire.

Records in, series out. The number of series is bounded by the watchlist (subjects × kinds ×
windows × signals), and by `SUBJECT_LIMIT` should a log hold more; sources by `SOURCE_LIMIT` for a
subject and `SOURCE_SERIES_LIMIT` in all; values of labels are cut to `LABEL_VALUE_LIMIT`
characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from undertone.alerting.alertmanager import Route, label_value
from undertone.records import Alert, Mention, MentionStatus, TrendPoint
from undertone.watch.firing import FiringAlerts

SUBJECT_LIMIT = 5_000
OTHER_SUBJECTS = "_other"  # no id: ids have no underscore
SOURCE_LIMIT = 20
SOURCE_SERIES_LIMIT = 10_000
OTHER_SOURCES = "_other"
SIGNALS = ("volume", "negative_volume", "negative_share", "mean_score")


def sentiment_of(mention: Mention) -> str:
    """The likeliest class, of equals neutral, then negative (as windows count); or `unscored`."""
    if (
        mention.status is MentionStatus.UNSCORED
        or mention.p_negative is None
        or mention.p_neutral is None
        or mention.p_positive is None
    ):
        return "unscored"
    highest = max(mention.p_negative, mention.p_neutral, mention.p_positive)
    if mention.p_neutral == highest:
        return "neutral"
    return "negative" if mention.p_negative == highest else "positive"


class SourceLabels:
    """Labels of sources, so few that a social network does not become a million series."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}
        self._series = 0

    def of(self, subject: str, source: str) -> str:
        """The source's own label for the first of a subject, one for all others."""
        value, known = label_value(source), self._known.setdefault(subject, set())
        if value in known:
            return value
        if len(known) >= SOURCE_LIMIT or self._series >= SOURCE_SERIES_LIMIT:
            return OTHER_SOURCES
        known.add(value)
        self._series += 1
        return value


class Exposition:
    """The watcher's metrics, all in `registry`.

    `wall_clock` gives seconds since 1970; it is read at each scrape, so that the clock's delay
    grows even while the worker stands still. `live` is false where every raw topic is recorded:
    the delay against the wall clock then means nothing and is not exported. `route` is the route
    that alerts start on: "direct" where an Alertmanager is configured, whose Notifier then tells
    of failures through `set_notified`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        wall_clock: Callable[[], float],
        live: bool = True,
        route: Route = "prometheus",
        allowed_lateness_ms: int = 3_600_000,
    ) -> None:
        self._wall_clock = wall_clock
        self._live = live
        self._allowed_lateness_ms = allowed_lateness_ms
        self._subjects: set[str] = set()
        self._subjects_of: dict[int, set[str]] = {}
        self._sources = SourceLabels()
        self._kept: dict[tuple[str, str, str], list[tuple[str, Gauge]]] = {}
        self._clock_ms: dict[int, int] = {}
        self._firing = FiringAlerts(route)
        registry.register(self._firing)
        self._make_counters(registry)
        self._make_gauges(registry)

    def _make_counters(self, registry: CollectorRegistry) -> None:
        self._mentions = Counter(
            "undertone_mentions_total",
            "Mentions applied, by their likeliest class.",
            ["subject", "kind", "sentiment"],
            registry=registry,
        )
        # Apart, because a sum that falls would look like a restart to rate().
        self._positive = Counter(
            "undertone_sentiment_positive_total",
            "Sum of p_positive over scored mentions.",
            ["subject", "kind"],
            registry=registry,
        )
        self._negative = Counter(
            "undertone_sentiment_negative_total",
            "Sum of p_negative over scored mentions.",
            ["subject", "kind"],
            registry=registry,
        )
        self._by_source = Counter(
            "undertone_source_mentions_total",
            "Mentions applied, by source; the sources heard first of a subject, the rest together.",
            ["subject", "source"],
            registry=registry,
        )
        self._late = Counter(
            "undertone_late_total",
            "Mentions older at their arrival than the allowed lateness; kept out of windows.",
            registry=registry,
        )
        self._revisions = Counter(
            "undertone_alert_revisions_total",
            "Revisions of alerts written.",
            ["state", "severity"],
            registry=registry,
        )

    def _make_gauges(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(f"undertone_{name}", help_text, labels, registry=registry)

        self._clock = gauge(
            "clock_seconds", "The watch clock, seconds since 1970 in stream time.", "partition"
        )
        self._delay = gauge(
            "clock_delay_seconds", "Wall clock less watch clock (live topics).", "partition"
        )
        self._lag = gauge(
            "watch_lag_records", "End of the mentions partition less the cursor.", "partition"
        )
        window = ("subject", "kind", "window")
        self._surprise = gauge(
            "window_surprise",
            "How unusual a signal is: minus log10 of its tail probability.",
            "subject",
            "kind",
            "signal",
            "window",
        )
        self._expected = gauge(
            "window_expected",
            "What is usual for the signal in such a window at this hour.",
            "subject",
            "kind",
            "signal",
            "window",
        )
        self._in_window = gauge("window_mentions", "Mentions in the window, copies too.", *window)
        self._stories = gauge("window_stories", "Stories in the window.", *window)
        self._mean = gauge("window_mean_score", "Mean score in the window, -1 to 1.", *window)
        self._share = gauge(
            "window_negative_share", "Negative share of the window's scored stories.", *window
        )
        self._of_windows = (
            self._surprise,
            self._expected,
            self._in_window,
            self._stories,
            self._mean,
            self._share,
        )

    def observe_mention(self, mention: Mention) -> None:
        """Count a mention that was applied (not one that was skipped as a duplicate)."""
        subject, kind = self._subject(mention.subject), str(mention.kind)
        sentiment = sentiment_of(mention)
        self._mentions.labels(subject, kind, sentiment).inc()
        self._by_source.labels(subject, self._sources.of(subject, mention.source)).inc()
        if sentiment != "unscored":
            self._positive.labels(subject, kind).inc(mention.p_positive or 0.0)
            self._negative.labels(subject, kind).inc(mention.p_negative or 0.0)
        if mention.ingested_at - mention.published_at > self._allowed_lateness_ms:
            self._late.inc()

    def observe(self, record: Alert | TrendPoint, partition: int) -> None:
        """Take what the core of a mentions partition returned."""
        if isinstance(record, Alert):
            self._revisions.labels(str(record.state), str(record.severity)).inc()
            self._firing.take(record, partition)
            return
        subject = self._subject(record.subject)
        self._subjects_of.setdefault(partition, set()).add(subject)
        labels = (subject, label_value(record.kind), record.window)
        _set_or_remove(self._mean, labels, record.mean_score)
        _set_or_remove(self._share, labels, record.negative_share)
        fields = record.__dict__
        for field, series in self._series_of(labels):
            series.set(fields[field])

    def _series_of(self, labels: tuple[str, str, str]) -> list[tuple[str, Gauge]]:
        """Fields of a trend point, each with its series; kept, since finding one costs the most."""
        if (known := self._kept.get(labels)) is not None:
            return known
        subject, kind, window = labels
        self._kept[labels] = [
            ("mentions", self._in_window.labels(*labels)),
            ("stories", self._stories.labels(*labels)),
            *((f"surprise_{s}", self._surprise.labels(subject, kind, s, window)) for s in SIGNALS),
            *((f"expected_{s}", self._expected.labels(subject, kind, s, window)) for s in SIGNALS),
        ]
        return self._kept[labels]

    def set_partition(self, partition: int, open_alerts: Iterable[Alert]) -> None:
        """This worker holds the partition now, with these open alerts and no others."""
        self._firing.set_partition(partition, open_alerts)

    def drop_partition(self, partition: int) -> None:
        """Another worker holds the partition: remove its series; counters stay."""
        self._firing.set_partition(partition, ())
        self._clock_ms.pop(partition, None)
        for gauge in (self._clock, self._delay, self._lag):
            gauge.remove_by_labels({"partition": str(partition)})
        dropped = self._subjects_of.pop(partition, set())
        self._kept = {k: series for k, series in self._kept.items() if k[0] not in dropped}
        for subject in dropped:
            for gauge in self._of_windows:
                gauge.remove_by_labels({"subject": subject})

    def set_clock(self, partition: int, clock_ms: int | None) -> None:
        """Where the watch clock of a partition stands; none until it has started."""
        if clock_ms is None:
            return
        first = partition not in self._clock_ms
        self._clock_ms[partition] = clock_ms
        self._clock.labels(str(partition)).set(clock_ms / 1000)
        if first and self._live:
            self._delay.labels(str(partition)).set_function(lambda: self._delay_seconds(partition))

    def set_lag(self, partition: int, records: int) -> None:
        """How many records of the mentions partition are still to be applied."""
        self._lag.labels(str(partition)).set(records)

    def set_notified(self, alert_id: str, route: Route) -> None:
        """Which route tells people of this alert: "direct" or "prometheus"."""
        self._firing.set_notified(alert_id, route)

    def _delay_seconds(self, partition: int) -> float:
        clock_ms = self._clock_ms.get(partition)  # gone when dropped in the middle of a scrape
        return max(0.0, self._wall_clock() - clock_ms / 1000) if clock_ms is not None else 0.0

    def _subject(self, subject: str) -> str:
        value = label_value(subject)
        if value in self._subjects:
            return value
        if len(self._subjects) >= SUBJECT_LIMIT:
            return OTHER_SUBJECTS
        self._subjects.add(value)
        return value


def _set_or_remove(gauge: Gauge, labels: tuple[str, ...], value: float | None) -> None:
    """A window without a value has no series: NaN would spoil every average over it."""
    if value is not None:
        gauge.labels(*labels).set(value)
    else:
        gauge.remove(*labels)
