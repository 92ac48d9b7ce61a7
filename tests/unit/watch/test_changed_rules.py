"""Rules and watchlist changed at some place of the log: as after a restart, and alerts end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, mention, progress
from undertone.alerting.rules import RuleSet
from undertone.records import Alert, AlertState, Mention, Progress, TrendPoint
from undertone.watch.changelog import Change, Entries, store
from undertone.watch.core import Watch, WatchConfig, WatchedSubject
from undertone.watch.cursor import Log
from undertone.watch.partition import Batch, LogRecord, WatchedPartition

LOG = Log("p.mentions", "topic-a", 1)


def rule(name: str, surprise: float, window: str = "1h") -> dict[str, object]:
    condition = {"signal": "negative_volume", "window": window, "surprise": surprise}
    return {"name": name, "when": [condition], "min_stories": 4, "resolve": {"for": "30m"}}


def config(*rules: dict[str, object], name: str = "Acme") -> WatchConfig:
    return WatchConfig(
        rules=RuleSet.model_validate({"rules": list(rules)}),
        subjects={"acme": WatchedSubject(name)},
        watchlist_version=f"list of {name}",
    )


SURGE = config(rule("surge", 3))
OTHERS = [
    config(rule("surge", 5)),
    config(rule("surge", 3), rule("long", 3, "2d"), name="Acme Corporation"),
    config(rule("flood", 2, "3h")),
]


def crisis() -> list[Mention | Progress]:
    """A quiet day, an hour of bad news, and quiet again."""
    begin = START_MS + DAY_MS
    times = [START_MS + number * 2 * HOUR_MS for number in range(12)]
    times += [begin + number * 3 * MINUTE_MS for number in range(20)]
    times += [begin + (3 + number) * HOUR_MS for number in range(8)]
    log: list[Mention | Progress] = []
    for offset, at in enumerate(times):
        log.append(mention(at, offset, "negative" if 12 <= offset < 32 else "neutral"))
        log.append(progress(at + 1))
    log.append(progress(times[-1] + DAY_MS))
    return log


LOG_RECORDS = [LogRecord(n, record.to_json()) for n, record in enumerate(crisis())]
FIRING_AT = 56  # records: the alert of `surge` fires there


class Watcher:
    """A watcher of one partition and its table."""

    def __init__(self, config: WatchConfig) -> None:
        self.entries: Entries = {}
        self.outputs: list[Alert | TrendPoint] = []
        self.watched = self._start(config)

    def _start(self, config: WatchConfig) -> WatchedPartition:
        return WatchedPartition(0, LOG, self.entries, lambda: Watch(config), 0)

    def restart(self, config: WatchConfig) -> None:
        self.watched = self._start(config)

    def reload(self, config: WatchConfig) -> None:
        self.watched.take_up(lambda: Watch(config))

    def read_to(self, offset: int, batch: int = 500) -> None:
        while self.watched.cursor.offset < offset:
            at = self.watched.cursor.offset
            self.write(self.watched.take(LOG_RECORDS[at : min(offset, at + batch)], 0))

    def write(self, batch: Batch) -> None:
        through = batch.cursor.offset
        changes = [Change(key, value, through) for key, value in batch.changes.items()]
        store(self.entries, 0, [*changes, batch.cursor_change()])
        self.watched.advance(batch)
        self.outputs += batch.outputs

    @property
    def alerts(self) -> list[Alert]:
        return [output for output in self.outputs if isinstance(output, Alert)]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, len(LOG_RECORDS)),
    st.integers(1, 60),
    st.sampled_from(OTHERS),
)
def test_a_reload_gives_the_same_as_a_restart_wherever_it_comes(
    at: int, batch: int, other: WatchConfig
) -> None:
    reloaded, restarted = Watcher(SURGE), Watcher(SURGE)
    reloaded.read_to(at, batch)
    reloaded.reload(other)
    restarted.read_to(at, batch)
    restarted.restart(other)
    for watcher in (reloaded, restarted):
        watcher.read_to(len(LOG_RECORDS), batch)
    assert [each.to_json() for each in reloaded.outputs] == [
        each.to_json() for each in restarted.outputs
    ]
    assert reloaded.entries == restarted.entries


@settings(max_examples=10, deadline=None)
@given(st.integers(0, len(LOG_RECORDS)), st.integers(1, 60), st.sampled_from(OTHERS))
def test_what_follows_depends_on_the_place_of_a_reload_alone(
    at: int, batch: int, other: WatchConfig
) -> None:
    one, another = Watcher(SURGE), Watcher(SURGE)
    for watcher, size in ((one, batch), (another, 500)):
        watcher.read_to(at, size)
        watcher.reload(other)
        watcher.read_to(len(LOG_RECORDS), size)
    assert one.outputs == another.outputs


def test_an_alert_of_a_rule_that_is_gone_is_resolved_at_the_next_record() -> None:
    watcher = Watcher(SURGE)
    watcher.read_to(FIRING_AT)
    fired = watcher.alerts[-1]
    assert (fired.rule, fired.state) == ("surge", AlertState.FIRING)
    other = config(rule("flood", 20))
    watcher.reload(other)
    assert watcher.watched.core.open_alerts() == [fired], "until it is told that it ended"
    watcher.read_to(FIRING_AT + 1)
    ended = watcher.alerts[-1]
    assert (ended.id, ended.revision) == (fired.id, fired.revision + 1)
    assert ended.state is AlertState.RESOLVED
    assert ended.resolved_at == ended.detected_at
    assert fired.started_at <= ended.detected_at <= START_MS + 2 * DAY_MS
    assert (ended.rules_version, ended.watchlist_version) == (
        other.rules.version,
        other.watchlist_version,
    )
    assert watcher.watched.core.open_alerts() == []
    told = len(watcher.alerts)
    watcher.read_to(len(LOG_RECORDS))
    assert len(watcher.alerts) == told, "and is told once"


def test_a_rule_that_comes_back_before_anything_was_written_goes_on() -> None:
    through, undisturbed = Watcher(SURGE), Watcher(SURGE)
    through.read_to(FIRING_AT)
    through.reload(config(rule("flood", 20)))
    through.reload(SURGE)
    for watcher in (through, undisturbed):
        watcher.read_to(len(LOG_RECORDS))
    assert through.outputs == undisturbed.outputs


def test_a_dropped_batch_ends_the_alert_again() -> None:
    watcher = Watcher(SURGE)
    watcher.read_to(FIRING_AT)
    watcher.reload(config(rule("flood", 20)))
    one = [LOG_RECORDS[FIRING_AT]]
    dropped = watcher.watched.take(one, 0)
    watcher.watched.reload()
    again = watcher.watched.take(one, 0)
    assert dropped.outputs == again.outputs
    assert [each.state for each in again.outputs if isinstance(each, Alert)] == ["resolved"]


def test_a_new_rule_reads_what_is_remembered_over_a_window_that_nobody_asked_for_before() -> None:
    watcher = Watcher(SURGE)
    watcher.read_to(FIRING_AT - 8)
    watcher.reload(config(rule("three-hours", 1, "3h")))
    watcher.read_to(FIRING_AT - 6)
    (fired,) = watcher.alerts[-1:]
    assert (fired.rule, fired.window) == ("three-hours", "3h")
    assert fired.observed > 10, "stories from before the rule are counted"


def test_revisions_carry_the_versions_that_they_were_decided_with() -> None:
    watcher = Watcher(SURGE)
    watcher.read_to(FIRING_AT)
    other = config(rule("surge", 3.5), name="Acme Corporation")
    watcher.reload(other)
    watcher.read_to(len(LOG_RECORDS))
    versions = [(alert.rules_version, alert.watchlist_version) for alert in watcher.alerts]
    assert versions[0] == (SURGE.rules.version, "list of Acme")
    assert versions[-1] == (other.rules.version, "list of Acme Corporation")
    assert {alert.name for alert in watcher.alerts} == {"Acme"}, "an alert keeps its name"
