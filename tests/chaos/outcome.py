"""What a run left in its topics, and how two runs compare (design §4.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from topic_logs import raw_records, replayed, values_by_partition, values_of
from undertone.errors import RecordError
from undertone.records import Alert, DeadLetter, Mention, Progress, TrendPoint
from undertone.scoring.accounting import accounting
from undertone.settings import Settings
from undertone.transport.codec import decode_watch_record
from undertone.transport.topics import TopicNames

WITHIN_MS = 60_000
Place = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True)
class Outcome:
    """What can be said of a finished run."""

    counts: dict[str, int]  # without what was sent twice
    lost: list[tuple[str, str, str]]  # the raw records that became dead letters
    alerts: list[Alert]  # distinct revisions, in the order of design §4.2
    repeated_mentions: int
    sent_twice: int  # raw records that the stream's own producer repeated
    replay_differences: list[str]


def outcome_of(settings: Settings, watchlist: Path) -> Outcome:
    """Read what a finished run has written, and replay its mentions log."""
    names = TopicNames(settings.prefix)
    totals = accounting(settings.kafka, names, settings.effective_raw_topics)
    logs = [
        list(_decoded(log))
        for _partition, log in sorted(values_by_partition(settings, names.mentions).items())
    ]
    alerts = _values(settings, names.alerts)
    trends = _values(settings, names.trends)
    replayed_alerts, replayed_trends = replayed(settings, watchlist, logs)
    mentions, repeated = _mentions(logs)
    letters = _letters(settings, names)
    twice = _sent_twice(settings)
    counts = Counter({name: count for name, count in totals.items() if name != "committed"})
    counts["in the log"] = mentions.total()
    counts.subtract(_counts_of(twice, mentions, {place for place, _stage in letters}))
    revisions = sorted(
        map(Alert.from_json, set(alerts)),
        key=lambda alert: (alert.detected_at, alert.subject, alert.rule, alert.revision),
    )
    return Outcome(
        counts=dict(counts),
        lost=_lost(settings, [each for (at, _), each in letters.items() if at not in twice]),
        alerts=revisions,
        repeated_mentions=repeated,
        sent_twice=len(twice),
        replay_differences=[
            *_differences("alerts", set(alerts), set(replayed_alerts)),
            *_differences("trend points", set(trends), set(replayed_trends)),
        ],
    )


def _values(settings: Settings, topic: str) -> list[bytes]:
    return [value for value in values_of(settings, topic) if value is not None]


def _decoded(log: Iterable[bytes | None]) -> Iterator[Mention | Progress]:
    """What can be read of a partition of the mentions: there is poison among them."""
    for value in log:
        with suppress(RecordError):
            yield decode_watch_record(value)


def _mentions(logs: Iterable[Iterable[Mention | Progress]]) -> tuple[Counter[Place], int]:
    """How many distinct mentions the logs hold of each raw record, and how many repetitions."""
    seen: set[tuple[Place, str]] = set()
    repeated = 0
    for record in chain.from_iterable(logs):
        if isinstance(record, Mention):
            raw = record.raw
            key = ((raw.topic, raw.partition, raw.offset), record.subject)
            repeated += key in seen
            seen.add(key)
    return Counter(place for place, _subject in seen), repeated


def _sent_twice(settings: Settings) -> set[Place]:
    """The raw records that are a repetition: same stamp, same bytes.

    Kafka forgets a producer whose last record is stamped longer ago than a day, and recorded time
    is: after a restart of the broker it takes a batch again that it had taken and not answered.
    """
    repeated: set[Place] = set()
    for (topic, partition), records in raw_records(settings).items():
        seen: set[tuple[int, bytes]] = set()
        for record in records:
            if record.value is None:
                continue  # a tick
            what = (record.timestamp, record.value)
            if what in seen:
                repeated.add((topic, partition, record.offset))
            seen.add(what)
    return repeated


def _counts_of(places: set[Place], mentions: Counter[Place], dead: set[Place]) -> Counter[str]:
    """What the accounting holds of these raw records."""
    counts: Counter[str] = Counter()
    for place in places:
        found = mentions[place]
        became = "scored" if found else "dead_letters" if place in dead else "unmatched"
        counts.update({"messages_in": 1, became: 1, "mentions": found, "in the log": found})
    return counts


def _letters(settings: Settings, names: TopicNames) -> dict[tuple[Place, str], DeadLetter]:
    """The raw records that became dead letters, and at which stage."""
    letters = map(DeadLetter.from_json, _values(settings, names.dead_letters))
    return {
        ((letter.topic, letter.partition, letter.offset), letter.stage): letter
        for letter in letters
        if letter.topic != names.mentions
    }


def _lost(settings: Settings, letters: Iterable[DeadLetter]) -> list[tuple[str, str, str]]:
    """Topic (without the run's own prefix), value and stage of each, in order.

    Not their offsets: between the messages stand ticks, which differ with the speed.
    """
    return sorted(
        (letter.topic.removeprefix(settings.prefix), letter.raw, letter.stage) for letter in letters
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
