"""What `watch` exports, read back from the registry."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from made_alerts import made_alert, made_mention, made_trend_point, resolved, risen
from undertone.records import Kind, MentionStatus
from undertone.watch import exposition as module
from undertone.watch.exposition import Exposition

NOW_SECONDS = 1_700_000_000.0


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def exposition(registry: CollectorRegistry) -> Exposition:
    return Exposition(registry, wall_clock=lambda: NOW_SECONDS)


def firing(registry: CollectorRegistry) -> set[tuple[str, str, str]]:
    """(subject, severity, notified) of every firing series, as a scrape reads them."""
    return {
        (sample.labels["subject"], sample.labels["severity"], sample.labels["notified"])
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name == "undertone_alert_firing"
    }


def test_a_mention_is_counted_with_its_sentiment(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    exposition.observe_mention(made_mention())
    labels = {"subject": "acme", "kind": "news"}
    value = registry.get_sample_value
    assert value("undertone_mentions_total", labels | {"sentiment": "negative"}) == 1
    assert value("undertone_sentiment_negative_total", labels) == 0.75
    assert value("undertone_sentiment_positive_total", labels) == 0.125
    assert value("undertone_late_total") == 0


def test_an_unscored_mention_is_counted_and_given_no_score(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    exposition.observe_mention(
        made_mention(
            status=MentionStatus.UNSCORED, p_negative=None, p_neutral=None, p_positive=None
        )
    )
    labels = {"subject": "acme", "kind": "news"}
    value = registry.get_sample_value
    assert value("undertone_mentions_total", labels | {"sentiment": "unscored"}) == 1
    assert value("undertone_sentiment_negative_total", labels) is None


def test_a_tie_is_neutral_before_negative() -> None:
    tie = made_mention(p_negative=0.4, p_neutral=0.4, p_positive=0.2)
    assert module.sentiment_of(tie) == "neutral"
    tie = made_mention(p_negative=0.4, p_neutral=0.2, p_positive=0.4)
    assert module.sentiment_of(tie) == "negative"


def test_a_late_mention_is_counted_as_late(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    mention = made_mention()
    exposition.observe_mention(
        mention.model_copy(update={"published_at": mention.ingested_at - 3_600_001})
    )
    exposition.observe_mention(
        mention.model_copy(update={"published_at": mention.ingested_at - 3_600_000})
    )
    assert registry.get_sample_value("undertone_late_total") == 1


def test_a_trend_point_sets_its_window_and_goes_with_its_partition(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    exposition.observe(made_trend_point(), 0)
    exposition.observe(made_trend_point(subject="other"), 1)
    labels = {"subject": "acme", "kind": "news", "window": "5m"}
    value = registry.get_sample_value
    assert value("undertone_window_stories", labels) == 4
    assert value("undertone_window_mentions", labels) == 6
    assert value("undertone_window_mean_score", labels) == -0.5
    assert value("undertone_window_negative_share", labels) == 0.75
    assert value("undertone_window_surprise", labels | {"signal": "negative_volume"}) == 2.5
    assert value("undertone_window_expected", labels | {"signal": "volume"}) == 1
    exposition.drop_partition(0)
    assert value("undertone_window_stories", labels) is None
    assert value("undertone_window_surprise", labels | {"signal": "volume"}) is None
    assert value("undertone_window_expected", labels | {"signal": "volume"}) is None
    assert value("undertone_window_mentions", labels) is None
    assert value("undertone_window_stories", labels | {"subject": "other"}) == 4
    exposition.observe(made_trend_point(stories=9), 0)  # the partition comes back
    assert value("undertone_window_stories", labels) == 9


def test_a_window_without_a_score_has_no_series(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    labels = {"subject": "acme", "kind": "news", "window": "5m"}
    exposition.observe(made_trend_point(), 0)
    exposition.observe(made_trend_point(mean_score=None, negative_share=None), 0)
    assert registry.get_sample_value("undertone_window_mean_score", labels) is None
    assert registry.get_sample_value("undertone_window_negative_share", labels) is None


def test_the_clock_delay_grows_while_the_worker_stands_still(registry: CollectorRegistry) -> None:
    now = [NOW_SECONDS]
    exposition = Exposition(registry, wall_clock=lambda: now[0])
    exposition.set_clock(0, None)
    labels = {"partition": "0"}
    assert registry.get_sample_value("undertone_clock_seconds", labels) is None
    exposition.set_clock(0, int(NOW_SECONDS * 1000) - 5_000)
    exposition.set_clock(0, int(NOW_SECONDS * 1000) - 2_000)
    assert registry.get_sample_value("undertone_clock_seconds", labels) == NOW_SECONDS - 2
    assert registry.get_sample_value("undertone_clock_delay_seconds", labels) == 2
    now[0] += 60
    assert registry.get_sample_value("undertone_clock_delay_seconds", labels) == 62
    exposition.drop_partition(0)
    assert registry.get_sample_value("undertone_clock_delay_seconds", labels) is None
    exposition.set_clock(0, int(NOW_SECONDS * 1000))
    assert registry.get_sample_value("undertone_clock_delay_seconds", labels) == 60


def test_recorded_time_has_no_delay(registry: CollectorRegistry) -> None:
    exposition = Exposition(registry, wall_clock=lambda: NOW_SECONDS, live=False)
    exposition.set_clock(0, 1_221_480_000_000)
    labels = {"partition": "0"}
    assert registry.get_sample_value("undertone_clock_seconds", labels) == 1_221_480_000
    assert registry.get_sample_value("undertone_clock_delay_seconds", labels) is None


def test_lag_is_exported_by_partition(exposition: Exposition, registry: CollectorRegistry) -> None:
    exposition.set_lag(3, 17)
    assert registry.get_sample_value("undertone_watch_lag_records", {"partition": "3"}) == 17


def test_an_alert_fires_rises_beside_itself_and_resolves(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    alert = made_alert()
    exposition.observe(alert, 0)
    assert firing(registry) == {("acme", "warning", "prometheus")}
    higher = risen(alert)
    exposition.observe(higher, 0)
    assert firing(registry) == {
        ("acme", "warning", "prometheus"),
        ("acme", "critical", "prometheus"),
    }
    exposition.observe(alert, 0)  # delivered again after a restart
    assert len(firing(registry)) == 2
    exposition.observe(resolved(higher), 0)
    assert firing(registry) == set()
    assert (
        registry.get_sample_value(
            "undertone_alert_revisions_total", {"state": "resolved", "severity": "critical"}
        )
        == 1
    )


def test_a_restored_alert_shows_every_severity_it_was_told_with(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    exposition.set_partition(0, [risen(risen(made_alert(severity="info")))])
    assert {severity for _, severity, _ in firing(registry)} == {"info", "warning", "critical"}


def test_the_series_carries_the_labels_of_its_own_subject(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    exposition.observe(made_alert(labels={"desk": "banks", "empty": ""}), 0)
    exposition.observe(made_alert(subject="plain", labels={}), 0)
    labels = {"subject": "acme", "rule": "negative-surge", "severity": "warning"}
    value = registry.get_sample_value
    assert (
        value("undertone_alert_firing", labels | {"desk": "banks", "notified": "prometheus"}) == 1
    )
    assert (
        value("undertone_alert_firing", labels | {"subject": "plain", "notified": "prometheus"})
        == 1
    )


def test_only_held_partitions_fire(exposition: Exposition, registry: CollectorRegistry) -> None:
    exposition.observe(made_alert(subject="one"), 0)
    exposition.observe(made_alert(subject="two"), 1)
    exposition.drop_partition(0)
    assert {subject for subject, _, _ in firing(registry)} == {"two"}
    exposition.set_partition(0, [made_alert(subject="one"), made_alert(subject="three")])
    assert {subject for subject, _, _ in firing(registry)} == {"one", "two", "three"}
    exposition.set_partition(0, [])
    assert {subject for subject, _, _ in firing(registry)} == {"two"}


def test_the_route_changes_the_series_in_place(registry: CollectorRegistry) -> None:
    exposition = Exposition(registry, wall_clock=lambda: NOW_SECONDS, route="direct")
    alert = made_alert()
    exposition.observe(alert, 0)
    assert firing(registry) == {("acme", "warning", "direct")}
    exposition.set_notified(alert.id, "prometheus")
    exposition.observe(risen(alert), 0)
    assert firing(registry) == {
        ("acme", "warning", "prometheus"),
        ("acme", "critical", "prometheus"),
    }


def test_equal_series_are_exported_once(
    exposition: Exposition, registry: CollectorRegistry
) -> None:
    exposition.observe(made_alert(id="a"), 0)
    exposition.observe(made_alert(id="b"), 0)
    assert generate_latest(registry).count(b"\nundertone_alert_firing{") == 1


def test_subjects_beyond_the_limit_share_one_series(
    exposition: Exposition, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBJECT_LIMIT", 2)
    for number in range(5):
        exposition.observe_mention(made_mention(subject=f"s{number}"))
    labels = {"kind": "news", "sentiment": "negative"}
    value = registry.get_sample_value
    assert value("undertone_mentions_total", labels | {"subject": "s1"}) == 1
    assert value("undertone_mentions_total", labels | {"subject": "s2"}) is None
    assert value("undertone_mentions_total", labels | {"subject": "_other"}) == 3


def test_sources_beyond_the_limit_of_a_subject_share_one_series(
    exposition: Exposition, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOURCE_LIMIT", 2)
    monkeypatch.setattr(module, "SOURCE_SERIES_LIMIT", 3)
    for source in ("wire", "blog", "third", "fourth", "wire"):
        exposition.observe_mention(made_mention(source=source))
    for source in ("wire", "blog"):
        exposition.observe_mention(made_mention(subject="second", source=source))

    def count(subject: str, source: str) -> float | None:
        labels = {"subject": subject, "source": source}
        return registry.get_sample_value("undertone_source_mentions_total", labels)

    assert [count("acme", source) for source in ("wire", "blog", "_other")] == [2, 1, 2]
    assert [count("second", source) for source in ("wire", "blog", "_other")] == [1, None, 1]


@given(
    subject=st.text(min_size=1),
    labels=st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=4),
)
def test_whatever_the_text_a_scrape_can_be_read(subject: str, labels: dict[str, str]) -> None:
    registry = CollectorRegistry()
    exposition = Exposition(registry, wall_clock=lambda: NOW_SECONDS)
    exposition.observe_mention(made_mention(subject=subject, kind=Kind.OTHER))
    exposition.observe(made_alert(subject=subject, labels=labels), 0)
    scrape: Callable[[], str] = lambda: generate_latest(registry).decode()  # noqa: E731
    for family in text_string_to_metric_families(scrape()):
        for sample in family.samples:
            assert all(len(value) <= 200 for value in sample.labels.values())
