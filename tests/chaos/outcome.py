"""What a run left in its topics, and how two runs compare (design §4.2)."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kafka import TopicPartition

from builders import written
from undertone.alerting.rules import load_rules
from undertone.errors import RecordError
from undertone.records import Alert, DeadLetter, Mention, TrendPoint
from undertone.scoring.accounting import accounting
from undertone.settings import Settings
from undertone.transport.clients import consumer
from undertone.transport.codec import decode_watch_record
from undertone.transport.topics import TopicNames
from undertone.watch.core import Watch, WatchConfig, watched_subjects
from undertone.watchlist.subjects import load_watchlist

WITHIN_MS = 60_000


@dataclass(frozen=True)
class Outcome:
    """What can be said of a finished run."""

    counts: dict[str, int]
    lost: list[tuple[str, str, str]]  # the raw records that became dead letters
    alerts: list[Alert]  # distinct revisions, in the order of design §4.2
    repeated_mentions: int
    replay_differences: list[str]


def read_all(settings: Settings, topic: str) -> dict[int, list[bytes | None]]:
    """Every value of a topic, by partition, in order."""
    with closing(consumer(settings.kafka)) as client:
        places = [TopicPartition(topic, n) for n in sorted(client.partitions_for_topic(topic))]
        client.assign(places)
        client.seek_to_beginning(*places)
        ends = client.end_offsets(places)
        values: dict[int, list[bytes | None]] = {place.partition: [] for place in places}
        while any(client.position(place) < ends[place] for place in places):
            for place, records in client.poll(timeout_ms=500).items():
                values[place.partition] += [record.value for record in records]
    return values


def outcome_of(settings: Settings, watchlist: Path) -> Outcome:
    """Read what a finished run has written, and replay its mentions log."""
    names = TopicNames(settings.prefix)
    totals = accounting(settings.kafka, names, settings.effective_raw_topics)
    mentions = read_all(settings, names.mentions)
    alerts = _values(read_all(settings, names.alerts))
    trends = _values(read_all(settings, names.trends))
    replayed_alerts, replayed_trends = _replay(settings, watchlist, mentions)
    distinct, repeated = _mentions(mentions)
    revisions = sorted(
        map(Alert.from_json, set(alerts)),
        key=lambda alert: (alert.detected_at, alert.subject, alert.rule, alert.revision),
    )
    return Outcome(
        counts={**{k: v for k, v in totals.items() if k != "committed"}, "in the log": distinct},
        lost=_lost(settings, names),
        alerts=revisions,
        repeated_mentions=repeated,
        replay_differences=[
            *_differences("alerts", set(alerts), replayed_alerts),
            *_differences("trend points", set(trends), replayed_trends),
        ],
    )


def _values(log: dict[int, list[bytes | None]]) -> list[bytes]:
    return [value for values in log.values() for value in values if value is not None]


def _replay(
    settings: Settings, watchlist: Path, mentions: dict[int, list[bytes | None]]
) -> tuple[set[bytes], set[bytes]]:
    """The alerts and trend points that the core makes of a mentions log."""
    subjects = load_watchlist(watchlist)
    config = WatchConfig(
        rules=load_rules(),
        subjects=watched_subjects(subjects),
        windows_ms=settings.windows,
        allowed_lateness_ms=settings.allowed_lateness,
        watchlist_version=subjects.version,
    )
    alerts: set[bytes] = set()
    trends: set[bytes] = set()
    for _partition, log in sorted(mentions.items()):
        watch = Watch(config)
        for value in log:
            try:
                record = decode_watch_record(value)
            except RecordError:
                continue
            for output in written(watch.apply(record)):
                found = alerts if isinstance(output, Alert) else trends
                found.add(output.to_json())
    return alerts, trends


def _mentions(log: dict[int, list[bytes | None]]) -> tuple[int, int]:
    """How many distinct mentions a log holds, and how many repetitions of them."""
    seen: set[tuple[str, str, int, int]] = set()
    repeated = 0
    for value in _values(log):
        try:
            record = decode_watch_record(value)
        except RecordError:
            continue
        if isinstance(record, Mention):
            raw = record.raw
            key = (record.subject, raw.topic, raw.partition, raw.offset)
            repeated += key in seen
            seen.add(key)
    return len(seen), repeated


def _lost(settings: Settings, names: TopicNames) -> list[tuple[str, str, str]]:
    """Topic (without the run's own prefix), value and stage of each, in order.

    Not their offsets: between the messages stand ticks, which differ with the speed.
    """
    letters = map(DeadLetter.from_json, _values(read_all(settings, names.dead_letters)))
    found = {
        (letter.topic, letter.partition, letter.offset, letter.stage): letter.raw
        for letter in letters
        if letter.topic != names.mentions
    }
    return sorted(
        (topic.removeprefix(settings.prefix), raw, stage)
        for (topic, _partition, _offset, stage), raw in found.items()
    )


def _differences(what: str, live: set[bytes], replayed: set[bytes]) -> list[str]:
    kind = Alert if what == "alerts" else TrendPoint
    told = [
        *(("only live", value) for value in sorted(live - replayed)),
        *(("only replayed", value) for value in sorted(replayed - live)),
    ]
    shown = [f"{what}, {where}: {_short(kind.from_json(value))}" for where, value in told[:4]]
    return [*shown, f"{what}: {len(told)} differ"] if told else []


def _short(record: Alert | TrendPoint) -> str:
    if isinstance(record, Alert):
        return f"{record.subject} {record.rule} revision {record.revision} {record.detected_at}"
    return f"{record.subject} {record.kind} {record.window} {record.window_end} {record.revision}"


@dataclass(frozen=True)
class Told:
    """One alert, as the promise for two runs speaks of it."""

    rule: str
    subject: str
    started_ms: int
    ended_ms: int | None
    severity: str


def told(alerts: list[Alert]) -> list[Told]:
    """Each alert once, by what its last revision says."""
    last: dict[str, Alert] = {}
    for alert in alerts:
        if alert.id not in last or alert.revision > last[alert.id].revision:
            last[alert.id] = alert
    found = [
        Told(each.rule, each.subject, each.started_at, each.resolved_at, str(each.severity))
        for each in last.values()
    ]
    return sorted(found, key=lambda each: (each.rule, each.subject, each.started_ms))


def same_alerts(calm: list[Alert], disturbed: list[Alert]) -> list[str]:
    """How the alerts of two runs differ, by rule and subject, beyond a minute of stream time."""
    expected, found = told(calm), told(disturbed)
    if len(expected) != len(found):
        return [f"{len(found)} alerts instead of {len(expected)}: {found}, not {expected}"]
    return [
        f"{have}, not {want}"
        for want, have in zip(expected, found, strict=True)
        if not _alike(want, have)
    ]


def _alike(one: Told, other: Told) -> bool:
    if (one.rule, one.subject, one.severity) != (other.rule, other.subject, other.severity):
        return False
    if abs(one.started_ms - other.started_ms) > WITHIN_MS:
        return False
    if one.ended_ms is None or other.ended_ms is None:
        return one.ended_ms is other.ended_ms
    return abs(one.ended_ms - other.ended_ms) <= WITHIN_MS


def compare(calm: Outcome, disturbed: Outcome) -> list[str]:
    """What a disturbed run got wrong; nothing when it kept the promise."""
    wrong = []
    if disturbed.counts != calm.counts:
        wrong.append(f"accounting: {disturbed.counts}, not {calm.counts}")
    if disturbed.lost != calm.lost:
        wrong.append("other raw records are dead letters")
    wrong += [f"alerts: {each}" for each in same_alerts(calm.alerts, disturbed.alerts)]
    wrong += [f"replay: {each}" for each in disturbed.replay_differences]
    wrong += [f"undisturbed replay: {each}" for each in calm.replay_differences]
    if not calm.alerts:
        wrong.append("the undisturbed run fired no alert: there is nothing to compare")
    return wrong
