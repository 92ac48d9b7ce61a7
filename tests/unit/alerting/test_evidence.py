"""The stories that prove an alert: the weightiest, the earlier of equals, and what tipped it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from made_alerts import RAW, START_MS
from undertone.alerting.evidence import (
    CANDIDATES_PER_HOUR,
    EQUAL_WEIGHTS,
    EVIDENCE_LIMIT,
    Candidate,
    choose,
    forget_outdone,
    is_wanted,
    offer,
    weight,
)
from undertone.records import Evidence


def story(number: int, *, minute: int = 0) -> Evidence:
    return Evidence(
        message_id=f"m{number}",
        excerpt="Acme recalls kettles",
        source="wire",
        published_at=START_MS + minute * 60_000,
        raw=RAW,
    )


candidates = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 59)), min_size=1, max_size=40).map(
    lambda items: [
        (weighs, story(number, minute=minute)) for number, (weighs, minute) in enumerate(items)
    ]
)


def ids(evidence: tuple[Evidence, ...]) -> list[str]:
    return [item.message_id for item in evidence]


def kept(found: list[Candidate]) -> list[Candidate]:
    """What an hour keeps of stories that come in this order."""
    best: list[Candidate] = []
    for weighs, evidence in found:
        if is_wanted(best, weighs, evidence.published_at):
            offer(best, weighs, evidence)
    return best


def test_a_story_weighs_by_how_negative_and_how_relevant_it_is() -> None:
    assert weight(0.9, 1.0) > weight(0.9, 0.5) > weight(0.4, 0.5) > weight(None, 1.0) == 0


def test_the_weightiest_come_first_and_the_earlier_of_near_equals() -> None:
    found = [
        (0.93, story(1, minute=30)),
        (0.94, story(2, minute=20)),
        (0.5, story(3, minute=0)),
        (0.95, story(4, minute=10)),
    ]
    assert ids(choose(found, story(4))) == ["m4", "m2", "m1", "m3"]


def test_a_weak_tipping_story_takes_the_last_place() -> None:
    found = [(0.9, story(number, minute=number)) for number in range(8)]
    assert ids(choose(found, story(99))) == ["m0", "m1", "m2", "m3", "m99"]
    assert ids(choose(found[:2], story(99))) == ["m0", "m1", "m99"]
    assert ids(choose(found, story(2))) == ["m0", "m1", "m2", "m3", "m4"]


@given(candidates, st.integers(0, 39))
def test_evidence_is_distinct_holds_what_tipped_and_leaves_out_nothing_much_weightier(
    found: list[Candidate], tipping: int
) -> None:
    weights = {evidence.message_id: weighs for weighs, evidence in found}
    chosen = ids(choose(found, story(tipping)))
    assert len(chosen) == len(set(chosen)) <= EVIDENCE_LIMIT
    assert f"m{tipping}" in chosen
    others = [weights[name] for name in chosen if name != f"m{tipping}"]
    left_out = [weights[name] for name in weights.keys() - set(chosen)]
    if left_out:
        assert len(chosen) == EVIDENCE_LIMIT
        assert min(others) >= max(left_out) - EQUAL_WEIGHTS - 1e-9


@given(candidates)
def test_what_an_hour_keeps_are_the_first_of_all_in_order(found: list[Candidate]) -> None:
    tipping = story(0)
    everything = choose(found, tipping, limit=CANDIDATES_PER_HOUR)
    assert ids(choose(kept(found), tipping, limit=CANDIDATES_PER_HOUR)) == ids(everything)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 599)), max_size=80),
    st.lists(st.integers(0, 80), max_size=4),
    st.integers(0, 599),
)
def test_what_is_forgotten_would_never_have_been_chosen(
    found: list[tuple[float, int]], looks: list[int], first_minute: int
) -> None:
    whole: dict[int, list[Candidate]] = {}
    thin: dict[int, list[Candidate]] = {}
    for number, (weighs, minute) in enumerate(found):
        evidence = story(number, minute=minute)
        for hours in (whole, thin):
            offer(hours.setdefault(minute // 60, []), weighs, evidence)
        if number in looks:
            forget_outdone(sorted(thin.items(), reverse=True))
    tipping = story(1_000)
    start = START_MS + first_minute * 60_000
    chosen = [
        choose(
            [each for hour in hours.values() for each in hour if each[1].published_at >= start],
            tipping,
        )
        for hours in (whole, thin)
    ]
    assert chosen[0] == chosen[1]
