"""Simulated streams are the same each time, and hold what they promise."""

from __future__ import annotations

import random
import re
from collections import Counter

import orjson
import pytest

from undertone.errors import RecordError, UsageError
from undertone.records import Kind, RawMessage
from undertone.scoring.fingerprint import fingerprint
from undertone.simulate.scenarios import SCENARIOS, build_scenario
from undertone.simulate.script import Scenario, broken_record
from undertone.simulate.world import HOUR_MS, companies, grammar, moments
from undertone.transport.codec import decode_raw
from undertone.trends.stories import STORY_BITS
from undertone.watchlist.subjects import Watchlist


def messages_of(scenario: Scenario) -> list[RawMessage]:
    return [entry.message for entry in scenario.entries if entry.message is not None]


def whole_text(message: RawMessage) -> str:
    return f"{message.title or ''} {message.text}".strip()


def is_about(message: RawMessage, company_id: str) -> bool:
    company = companies()[company_id]
    return company.short in whole_text(message) or company.ticker in whole_text(message)


def distinct_stories(messages: list[RawMessage]) -> int:
    kept: list[int] = []
    for message in messages:
        sketch = int(fingerprint(whole_text(message)), 16)
        if all((sketch ^ other).bit_count() > STORY_BITS for other in kept):
            kept.append(sketch)
    return len(kept)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_seed_gives_the_same_bytes_and_another_seed_gives_others(name: str) -> None:
    one, same = (build_scenario(name, seed=7, messages=400) for _ in range(2))
    other = build_scenario(name, seed=8, messages=400)
    assert [entry.line() for entry in one.entries] == [entry.line() for entry in same.entries]
    assert [entry.line() for entry in one.entries] != [entry.line() for entry in other.entries]
    assert one.truth == same.truth


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_has_as_many_records_as_asked_in_order_of_arrival(name: str) -> None:
    scenario = build_scenario(name, messages=500)
    times = [entry.at_ms for entry in scenario.entries]
    ids = Counter(message.id for message in messages_of(scenario))
    assert len(times) == 500
    assert times == sorted(times)
    assert scenario.start_ms <= times[0]
    assert times[-1] < scenario.end_ms
    assert max(ids.values()) == 1
    Watchlist.model_validate(scenario.watchlist)


def test_every_line_of_the_texts_can_be_filled_in() -> None:
    lines = grammar().lines
    chance = random.Random(0)
    company = next(iter(companies().values()))
    facts = {**company.facts, "other": ("Another",)}
    for name in lines:
        for _ in range(3 * len(lines[name])):
            sentence = grammar().sentence(name, facts, chance)
            assert not re.search(r"[{}\[\]]", sentence), (name, sentence)


def test_texts_about_a_company_name_it_and_texts_about_nobody_do_not() -> None:
    chance = random.Random(0)
    stories = {name.partition(".")[0] for name in grammar().lines if "." in name}
    named = stories - {"nobody"}
    for company in companies().values():
        for story in named:
            for kind in ("news", "social", "story"):
                if f"{story}.{kind}" not in grammar().lines:
                    continue
                for _ in range(40):
                    facts = {**company.facts, "other": ("Another",)}
                    text = grammar().sentence(f"{story}.{kind}", facts, chance)
                    assert company.short in text or company.ticker in text, text


def test_the_demo_holds_all_that_can_happen() -> None:
    demo = build_scenario("demo")
    messages = messages_of(demo)
    assert len(demo.entries) >= 5_000
    assert len(demo.entries) > len(messages)  # broken records
    assert {event.subject for event in demo.truth if event.polarity == "negative"} == {
        "halvermoor-foods",
        "northbrae-bank",
    }
    assert {event.polarity for event in demo.truth} == {"negative", "positive"}
    assert any(m.published_at > (m.arrived_at or 0) for m in messages)
    assert any((m.arrived_at or 0) - m.published_at > HOUR_MS for m in messages)
    assert any(not any(is_about(m, company) for company in companies()) for m in messages)
    assert Counter(m.kind for m in messages).keys() == {Kind.NEWS, Kind.SOCIAL}


def test_a_recall_is_many_stories_by_many_sources_of_both_kinds_after_days_of_quiet() -> None:
    scenario = build_scenario("recall-crisis")
    (event,) = scenario.truth
    assert event.end is not None
    assert event.start - scenario.start_ms > 4 * 24 * HOUR_MS
    first_hours = [
        message
        for message in messages_of(scenario)
        if is_about(message, event.subject)
        and event.start <= (message.arrived_at or 0) < event.start + 3 * HOUR_MS
    ]
    assert len(first_hours) > 150
    assert distinct_stories(first_hours) > 0.7 * len(first_hours)
    assert len({message.source for message in first_hours}) >= 8
    assert {message.kind for message in first_hours} == {Kind.NEWS, Kind.SOCIAL}
    assert len({message.author for message in first_hours}) > 50


def test_syndicated_copies_are_one_story() -> None:
    scenario = build_scenario("syndicated")
    copies = [message for message in messages_of(scenario) if " fined " in message.text]
    assert len(copies) == 50
    assert distinct_stories(copies) <= 2
    assert len({message.source for message in copies}) > 5
    assert scenario.truth == []


def test_a_flood_has_one_author_and_no_truth() -> None:
    scenario = build_scenario("bot-flood")
    author, count = Counter(
        message.author for message in messages_of(scenario) if message.author
    ).most_common(1)[0]
    assert count >= 150, author
    assert scenario.truth == []


def test_no_broken_record_can_be_read_and_each_is_one_line() -> None:
    for index in range(10):
        raw = broken_record(index, 1_741_000_000_000)
        assert b"\n" not in raw
        with pytest.raises(RecordError):
            decode_raw(raw, topic="t", partition=0, offset=0)


def test_messages_are_read_again_from_their_values_as_they_were() -> None:
    for entry in build_scenario("demo", messages=300).entries:
        if entry.message is None:
            continue
        again = decode_raw(entry.arrival().value, topic="t", partition=0, offset=0)
        assert again == entry.message.model_copy(update={"arrived_at": None})
        assert orjson.loads(entry.line())["arrived_at"]


def test_the_rhythm_has_nights_and_weekends() -> None:
    monday = 1_741_000_000_000 // HOUR_MS // 24 * 24 * HOUR_MS
    week = moments(4_000, monday, monday + 7 * 24 * HOUR_MS, Kind.NEWS, random.Random(1))
    hours = Counter(at_ms // HOUR_MS % 24 for at_ms in week)
    days = Counter((at_ms - monday) // HOUR_MS // 24 for at_ms in week)
    assert hours[3] * 3 < hours[10]
    assert max(days[5], days[6]) < min(days[day] for day in range(5))


@pytest.mark.parametrize(("name", "messages"), [("no-such", None), ("quiet", 3)])
def test_wrong_use_says_what_is_possible(name: str, messages: int | None) -> None:
    with pytest.raises(UsageError):
        build_scenario(name, messages=messages)
