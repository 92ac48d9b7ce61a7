"""A subject that is filled in is watched as if it had been on the watchlist from the start."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS, RAW, START_MS, mention, progress, written
from undertone.alerting.rules import load_rules
from undertone.errors import UsageError
from undertone.records import Alert, Mention, Progress, TrendPoint
from undertone.replay.fill_in import OnlySubjects, changes_for, past_of
from undertone.replay.steps import Step, clock_at
from undertone.watch.core import Watch, WatchConfig, WatchedSubject
from undertone.watch.state import HEAD
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist

CONFIG = WatchConfig(rules=load_rules(), subjects={"acme": WatchedSubject("Acme")})
QUIET, BAD = 60, 20
Outputs = list[Alert | TrendPoint]


def stream() -> list[Mention]:
    """Two and a half quiet days, an hour of bad news, and quiet again."""
    times = [START_MS + number * HOUR_MS for number in range(QUIET)]
    begin = times[-1] + HOUR_MS
    times += [begin + number * 3 * MINUTE_MS for number in range(BAD)]
    times += [begin + (3 + number) * HOUR_MS for number in range(8)]
    tones = ["neutral", "neutral", "positive"] * QUIET
    bad = range(QUIET, QUIET + BAD)
    return [
        mention(at, offset, "negative" if offset in bad else tones[offset])
        for offset, at in enumerate(times)
    ]


STREAM = stream()


def log_of(mentions: list[Mention]) -> list[Mention | Progress]:
    log: list[Mention | Progress] = []
    for each in mentions:
        log += [each, progress(each.ingested_at + 1)]
    log.append(progress(STREAM[-1].ingested_at + DAY_MS))
    return log


def filled_in(until: int, before: dict[str, bytes] | None = None) -> dict[str, bytes]:
    """The state of a subject that is filled in from what came below an offset."""
    read = STREAM[:until]
    steps = [Step(0, each) for each in read]
    steps.append(Step(0, clock_at(read[-1].ingested_at + 1)))
    past = past_of(steps, CONFIG)
    assert past.mentions == {"acme": until}
    changes = changes_for("acme", past.parts["acme"], before or {}, {RAW: {0: until, 1: 0}})
    return {key: value for key, value in changes.items() if value is not None}


def watched_from(until: int, behind: int) -> Outputs:
    """What is told by a watcher that starts with that state, `behind` mentions back in its log."""
    watch = Watch(CONFIG)
    clock = STREAM[until - behind].ingested_at
    watch.restore(filled_in(until), {RAW: {0: clock}}, {RAW: 1})
    outputs: Outputs = []
    for record in log_of(STREAM[until - behind :]):
        outputs += written(watch.apply(record))
    return outputs


def watched_from_the_start(until: int) -> Outputs:
    """What a watcher of all mentions tells after the last one that is below an offset."""
    watch, outputs = Watch(CONFIG), list[Alert | TrendPoint]()
    for number, record in enumerate(log_of(STREAM)):
        told = written(watch.apply(record))
        if number > 2 * until - 1:
            outputs += told
    return outputs


@settings(max_examples=12, deadline=None)
@given(st.integers(20, QUIET), st.integers(1, 15))
def test_after_it_the_watcher_tells_what_it_would_have_told_anyway(until: int, behind: int) -> None:
    told = watched_from(until, behind)
    assert any(isinstance(output, Alert) for output in told)
    assert [each.to_json() for each in told] == [
        each.to_json() for each in watched_from_the_start(until)
    ]


def test_an_alert_of_the_past_is_not_told_but_one_that_holds_still_is() -> None:
    in_the_middle = QUIET + BAD // 2
    alerts = [each for each in watched_from(in_the_middle, 1) if isinstance(each, Alert)]
    assert alerts[0].revision == 1
    assert alerts[0].started_at >= STREAM[in_the_middle - 1].ingested_at
    after_it = QUIET + BAD + 3
    assert not any(isinstance(each, Alert) for each in watched_from(after_it, 1))


def test_what_is_remembered_gives_way_but_for_where_the_rules_stand() -> None:
    standing = {"negative-surge": {"phase": "firing"}}
    before = {"head": json.dumps({"rules": standing}).encode(), "pending/7": b"[]"}
    past = past_of([Step(0, STREAM[0]), Step(0, clock_at(START_MS + 1))], CONFIG).parts["acme"]
    changes = changes_for("acme", past, before, {RAW: {0: 5, 1: 0}})
    head = json.loads(changes[f"acme/{HEAD}"] or b"")
    assert head["rules"] == standing
    assert head["applied"] == {RAW: {"0": 4}}
    assert changes["acme/pending/7"] is None


def test_a_subject_is_matched_as_among_all_others() -> None:
    document = [{"id": who, "name": who.title(), "terms": [who]} for who in ("acme", "zenith")]
    watchlist = Watchlist.model_validate({"subjects": document})
    text = "acme beats zenith; zenith sinks"
    everyone = Matcher(watchlist).match(text, None, ["acme"])
    alone = OnlySubjects(watchlist, ["zenith"]).match(text, None, ["acme"])
    assert alone == [each for each in everyone if each.subject_id == "zenith"]
    with pytest.raises(UsageError, match="not on the watchlist: nobody"):
        OnlySubjects(watchlist, ["nobody"])
