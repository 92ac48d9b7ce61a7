"""Replayed series as OpenMetrics: valid text, live names, values that can be drawn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from builders import HOUR_MS, MINUTE_MS, START_MS, mention
from made_alerts import made_alert, made_mention, made_trend_point, resolved, risen
from undertone.errors import InputFileError
from undertone.records import Alert, Mention, TrendPoint
from undertone.replay.openmetrics import OpenMetricsFile
from undertone.watch.exposition import Exposition

Record = TrendPoint | Alert | Mention
Series = dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[float, float]]]


def written(tmp_path: Path, records: Iterable[Record], **options: int) -> str:
    path = tmp_path / "history.om"
    with OpenMetricsFile(path, **options) as file:
        for record in records:
            file.add(record)
    assert list(tmp_path.iterdir()) == [path], "the spool was left behind"
    return path.read_text()


def series_of(text: str) -> Series:
    """Every series as (seconds, value), read by a parser that enforces the format."""
    result: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            result.setdefault(key, []).append((float(sample.timestamp), sample.value))
    return result


def window(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    labels = {"subject": "acme", "kind": "news", "window": "5m"} | labels
    return name, tuple(sorted(labels.items()))


def at(minutes: float) -> float:
    return START_MS / 1000 + minutes * 60


def test_a_value_is_repeated_every_five_minutes_while_its_window_holds_mentions(
    tmp_path: Path,
) -> None:
    points = [
        made_trend_point(window_end=START_MS, stories=4),
        made_trend_point(window_end=START_MS + 12 * MINUTE_MS, stories=5),
        made_trend_point(
            window_end=START_MS + 14 * MINUTE_MS,
            stories=0,
            mentions=0,
            mean_score=None,
            negative_share=None,
        ),
        made_trend_point(window_end=START_MS + 60 * MINUTE_MS, subject="other"),
    ]
    series = series_of(written(tmp_path, points))
    assert series[window("undertone_window_stories")] == [
        (at(0), 4),
        (at(5), 4),
        (at(10), 4),
        (at(12), 5),
        (at(14), 0),
    ]
    assert [t for t, _ in series[window("undertone_window_mean_score")]] == [
        at(0),
        at(5),
        at(10),
        at(12),
    ]
    assert series[window("undertone_window_surprise", signal="negative_volume")][0] == (at(0), 2.5)


def test_an_alert_fires_with_each_severity_from_when_it_was_told_until_it_resolved(
    tmp_path: Path,
) -> None:
    first = made_alert(started_at=START_MS, detected_at=START_MS)
    second = risen(first).model_copy(update={"detected_at": START_MS + 7 * MINUTE_MS})
    last = resolved(second).model_copy(update={"resolved_at": START_MS + 16 * MINUTE_MS})
    series = series_of(written(tmp_path, [first, second, last]))
    times = {
        dict(labels)["severity"]: [t for t, value in samples if value == 1]
        for (name, labels), samples in series.items()
        if name == "undertone_alert_firing"
    }
    assert times == {
        "warning": [at(0), at(5), at(10), at(15)],
        "critical": [at(7), at(12)],
    }
    labels = next(dict(labels) for (name, labels) in series if name == "undertone_alert_firing")
    assert labels["notified"] == "replay"
    assert labels["desk"] == "retail"


def test_an_alert_that_is_open_at_the_end_fires_until_the_last_record(tmp_path: Path) -> None:
    alert = made_alert(started_at=START_MS, detected_at=START_MS)
    end = made_trend_point(window_end=START_MS + 11 * MINUTE_MS)
    series = series_of(written(tmp_path, [alert, end]))
    firing = [value for key, value in series.items() if key[0] == "undertone_alert_firing"]
    assert [[t for t, _ in samples] for samples in firing] == [[at(0), at(5), at(10)]]


def test_counters_stand_for_an_hour_around_each_rise(tmp_path: Path) -> None:
    records = [
        mention(START_MS + 2 * MINUTE_MS, 1, "negative"),
        mention(START_MS + 3 * MINUTE_MS, 2, "negative"),
        mention(START_MS + 600 * MINUTE_MS, 3, "negative"),
        made_trend_point(window_end=START_MS + 900 * MINUTE_MS),
    ]
    samples = series_of(written(tmp_path, records))[
        "undertone_mentions_total",
        (("kind", "news"), ("sentiment", "negative"), ("subject", "acme")),
    ]
    assert dict(samples)[at(0)] == 0  # the first rise can be seen, too
    assert dict(samples)[at(5)] == 2
    times = [t for t, _ in samples]
    first, second = at(5), at(600)
    assert times == [
        *(first + 300 * k for k in range(-12, 13)),
        *(second + 300 * k for k in range(-12, 13)),
    ]
    assert samples[-1][1] == 3


def test_late_and_unscored_mentions_are_counted_as_the_watcher_counts_them(tmp_path: Path) -> None:
    records = [
        made_mention(published_at=START_MS - 2 * HOUR_MS, ingested_at=START_MS),
        mention(START_MS, 2, None),
    ]
    series = series_of(written(tmp_path, records))
    assert max(v for _, v in series["undertone_late_total", ()]) == 1
    sentiments = {dict(key[1]).get("sentiment") for key in series}
    assert "unscored" in sentiments


def test_the_names_and_labels_are_those_of_the_live_watcher(tmp_path: Path) -> None:
    records = [made_mention(), made_trend_point(), made_alert()]
    registry = CollectorRegistry()
    live = Exposition(registry, wall_clock=lambda: 0.0)
    live.observe_mention(made_mention())
    live.observe(made_trend_point(), 0)
    live.observe(made_alert(), 0)
    exposed = {
        (sample.name, tuple(sorted(sample.labels)))
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    replayed = {
        (name, tuple(label for label, _ in labels))
        for name, labels in series_of(written(tmp_path, records))
    }
    assert replayed <= exposed
    missing = {name for name, _ in exposed - replayed}
    assert missing == {"undertone_late_total"}, "nothing was late"


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    subject = 'a"b\\c\nd} 1\n# EOF'
    series = series_of(written(tmp_path, [made_trend_point(subject=subject)]))
    subjects = {dict(labels)["subject"] for _, labels in series}
    assert subjects == {" ".join(subject.split())}


def test_without_records_it_is_an_empty_exposition(tmp_path: Path) -> None:
    assert written(tmp_path, []) == "# EOF\n"


def test_a_longer_step_writes_fewer_samples(tmp_path: Path) -> None:
    points = [
        made_trend_point(window_end=START_MS),
        made_trend_point(window_end=START_MS + 24 * HOUR_MS),
    ]
    text = written(tmp_path, points, step_seconds=7_200)
    assert len(series_of(text)[window("undertone_window_stories")]) == 13


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputFileError, match=r"nowhere/history\.om: cannot be written"),
        OpenMetricsFile(tmp_path / "nowhere" / "history.om"),
    ):
        pass


_records = st.lists(
    st.tuples(
        st.integers(0, 90 * MINUTE_MS),
        st.sampled_from(["news", "social"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(steps=_records)
def test_families_are_contiguous_series_in_order_and_no_standing_value_goes_stale(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, str, int]]
) -> None:
    now, records = START_MS, []
    for number, (pause_ms, kind, subject, count) in enumerate(steps):
        now += pause_ms
        records.append(mention(now, number, "positive", subject=subject))
        records.append(
            made_trend_point(
                window_end=now, kind=kind, subject=subject, mentions=count, stories=count
            )
        )
    text = written(tmp_path_factory.mktemp("om"), records)
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    for (name, _labels), samples in series_of(text).items():
        times = [t for t, _ in samples]
        assert times == sorted(set(times))
        if name == "undertone_window_stories":
            for (here, value), after in zip(samples, times[1:], strict=False):
                assert value == 0 or after - here <= 300
        if name.endswith("_total"):
            values = [value for _, value in samples]
            assert values == sorted(values)
