"""Independent voices: one that floods cannot fire what asks for several, and some count less."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, mention, progress, sketch
from undertone.alerting.rules import RuleSet
from undertone.records import Alert, Kind, Mention, RawMessage
from undertone.scoring.fingerprint import fingerprint
from undertone.simulate.scenarios import build_scenario
from undertone.trends.panes import Counts
from undertone.watch.core import Watch, WatchConfig, WatchedSubject, watched_subjects
from undertone.watch.state import VOICES_PER_HOUR, Hour
from undertone.watch.voices import heard, without_excess
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone.watchlist.voice_weights import VoiceWeights
from undertone_models.pairs import Pair
from undertone_models.stub_classifier import StubClassifier

CRISIS_MS = START_MS + 3 * DAY_MS
KINDS = ("news",)


def surge(min_sources: int, **changes: Any) -> RuleSet:
    rule = {
        "name": "surge",
        "when": [{"signal": "negative_volume", "window": "1h", "surprise": 3}],
        "min_stories": 4,
        "min_sources": min_sources,
    }
    return RuleSet.model_validate({"rules": [rule | changes]})


def play(
    mentions: Sequence[Mention], rules: RuleSet, weights: dict[str, float] | None = None
) -> list[Alert]:
    """The alerts of a log, the watcher restarted from its stored parts at every twentieth."""
    names = {item.subject for item in mentions}
    known = VoiceWeights(weights) if weights else None
    subjects = {name: WatchedSubject(name, weights=known) for name in names}
    config = WatchConfig(rules=rules, subjects=subjects, windows_ms=())
    watch, parts, outputs = Watch(config), dict[str, bytes](), []
    for number, item in enumerate(mentions):
        outputs += watch.apply(item)
        outputs += watch.apply(progress(item.ingested_at))
        if number % 20 == 0:
            for key, value in watch.take_changes().items():
                parts |= {key: value} if value is not None else {}
                if value is None:
                    parts.pop(key, None)
            old, watch = watch, Watch(config)
            watch.restore(parts, old.complete_until, old.expected)
    outputs += watch.apply(progress(mentions[-1].ingested_at + HOUR_MS))
    return [output for output in outputs if isinstance(output, Alert)]


def chatter_then(crisis: list[dict[str, Any]], tone: str = "negative") -> list[Mention]:
    """Three days of five sources, a fourth of it negative; two hours of nothing; then a crisis."""
    draw = random.Random(5)
    times = sorted(START_MS + draw.randrange(3 * DAY_MS - 2 * HOUR_MS) for _ in range(150))
    stream = [
        mention(
            at,
            offset,
            draw.choice(["neutral", "neutral", "positive", "negative"]),
            source=f"paper-{draw.randrange(5)}",
        )
        for offset, at in enumerate(times)
    ]
    for number, changes in enumerate(crisis):
        at = CRISIS_MS + number * MINUTE_MS
        stream.append(mention(at, 150 + number, tone, **changes))
    return stream


FLOOD = [{"source": "loud"}] * 20
# Usual chatter goes on beside it.
AMONG_OTHERS = [*FLOOD[:9], {"source": "paper-1"}, *FLOOD[:9], {"source": "paper-2"}]


@pytest.mark.parametrize("crisis", [FLOOD, AMONG_OTHERS])
def test_a_flood_of_one_source_fires_only_what_asks_for_no_other(
    crisis: list[dict[str, Any]],
) -> None:
    assert play(chatter_then(crisis), surge(1))
    assert play(chatter_then(crisis), surge(2, min_stories=5)) == []
    assert play(chatter_then(crisis), surge(3, min_stories=5)) == []


def test_three_sources_fire_what_asks_for_three_and_not_what_asks_for_four() -> None:
    crisis = [{"source": f"site-{number % 3}"} for number in range(20)]
    assert play(chatter_then(crisis), surge(3))
    assert play(chatter_then(crisis), surge(4)) == []


def test_sources_that_say_nothing_bad_do_not_vouch_for_bad_news() -> None:
    stream = chatter_then([{"source": "loud"}, {"source": "kind"}] * 20)
    mixed = [
        mention(item.ingested_at, item.raw.offset, "positive", source=f"s{item.raw.offset}")
        if item.source == "kind"
        else item
        for item in stream
    ]
    assert play(mixed, surge(1))
    assert play(mixed, surge(2)) == []


def test_one_author_under_many_posts_is_one_voice() -> None:
    crisis = [{"source": "network", "author": "angry", "kind": Kind.SOCIAL}] * 20
    assert play(chatter_then(crisis), surge(2)) == []
    many = [crisis[0] | {"author": f"person-{number}"} for number in range(20)]
    assert play(chatter_then(many), surge(3))


def test_sources_that_copy_a_story_are_voices_and_no_stories() -> None:
    wire = [{"source": "wire", "fingerprint": sketch(f"wire {number}")} for number in range(6)]
    copied = [story | {"source": f"site-{site}"} for story in wire for site in range(3)]
    assert play(chatter_then(wire), surge(3)) == []
    alert, *_ = play(chatter_then([*wire, *copied]), surge(3))
    assert alert.observed <= 8
    assert play(chatter_then([*wire[:1], *copied[:3]] * 5), surge(3)) == []


def test_a_rule_on_one_kind_hears_the_voices_of_that_kind() -> None:
    social = [{"source": "network", "kind": Kind.SOCIAL}] * 12
    news = [{"source": f"paper-{number}"} for number in range(5)]
    assert play(chatter_then([*news, *social]), surge(2, kinds=["social"])) == []
    assert play(chatter_then([*news, *social]), surge(1, kinds=["social"]))


def test_voices_are_remembered_up_to_a_number_an_hour() -> None:
    hour = Hour()
    for number in range(VOICES_PER_HOUR + 50):
        hour.hear("news", f"v{number}", 0, is_negative=False)
    assert heard([(0, hour)], 0, KINDS, only_negative=False).voices == VOICES_PER_HOUR
    assert heard([(0, hour)], 0, KINDS, only_negative=True) == (0, 0)
    assert heard([(0, hour)], 0, ("social",), only_negative=False) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 359), st.integers(0, 5), st.booleans()), max_size=60))
def test_of_the_voices_since_a_moment_all_but_the_loudest_are_the_others(
    said: list[tuple[int, int, bool]],
) -> None:
    hour, start_ms = Hour(), HOUR_MS + 120 * 10_000
    for pane, voice, is_negative in said:
        hour.hear("news", str(voice), HOUR_MS + pane * 10_000, is_negative=is_negative)
    for only_negative in (False, True):
        counted = [(pane, voice) for pane, voice, bad in said if bad or not only_negative]
        inside = {voice for pane, voice in counted if pane >= 120}
        told = Counter(voice for _, voice in counted if voice in inside)
        others = told.total() - max(told.values(), default=0)
        found = heard([(1, hour)], start_ms, KINDS, only_negative=only_negative)
        assert found == (len(inside), others)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(-1, 1), st.integers(0, 60))
def test_the_loudest_counts_for_no_more_than_all_others(
    negative: int, neutral: int, mean_score: float, others: int
) -> None:
    stories = negative + neutral
    counts = Counts(
        mentions=200, stories=stories, negative=negative, neutral=neutral,
        score_millis=round(1000 * mean_score * stories),
    )  # fmt: skip
    fewer = without_excess(counts, others, only_negative=True)
    assert fewer.negative == min(negative, 2 * others)
    assert fewer.stories - fewer.negative == neutral
    assert (fewer.neutral, fewer.mentions) == (neutral, 200)
    assert fewer.mean_score is None or fewer.mean_score >= (counts.mean_score or 0) - 1e-9
    of_all = without_excess(counts, others, only_negative=False)
    assert of_all.stories == min(counts.stories, 2 * others)


def test_a_voice_of_weight_nought_is_a_mention_and_nothing_else() -> None:
    crisis = [{"source": "Spamwire"}] * 20
    assert play(chatter_then(crisis), surge(1))
    assert play(chatter_then(crisis), surge(1), {"spamwire": 0}) == []
    # What it said first may still be told by others.
    told = [{"source": name, "fingerprint": sketch(f"s {number}")} for number in range(10)
            for name in ("Spamwire", f"site-{number}")]  # fmt: skip
    alert, *_ = play(chatter_then(told), surge(3), {"spamwire": 0})
    assert all(item.source != "Spamwire" for item in alert.evidence)


def test_of_a_voice_of_weight_a_quarter_every_fourth_message_is_heard() -> None:
    weights = VoiceWeights({"network/*_bot": 0, "blog*": 0.25, "*/chief": 1, "paper": 0.3})
    saved: dict[str, int] = {}

    def hears(source: str, author: str | None = None) -> bool:
        return weights.hears(source, author, saved)

    assert [hears(f"blog-{number}") for number in range(8)] == [False, False, False, True] * 2
    assert sum(hears("paper") for _ in range(100)) == 30
    assert not hears("network", "Nasty_Bot")
    assert hears("network", "somebody")
    assert hears("network")
    assert not hears("blog", "chief")  # the first pattern that fits counts
    assert hears("other", "chief")


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.2, 0.5, 0.9]))
def test_a_stream_of_less_weight_tells_less_and_restarts_change_nothing(weight: float) -> None:
    stream = chatter_then([{"source": "loud"}] * 20)
    heard_of = play(stream, surge(1, min_stories=1), {"loud": weight})
    straight = play(stream, surge(1, min_stories=1), {"loud": weight})
    assert [alert.to_json() for alert in heard_of] == [alert.to_json() for alert in straight]
    observed = max((alert.observed for alert in heard_of), default=0)
    assert observed <= 20 * weight + 3


def test_the_weights_of_a_watchlist_reach_every_subject() -> None:
    document = {"subjects": [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]}
    assert {
        each.weights for each in watched_subjects(Watchlist.model_validate(document)).values()
    } == {None}
    weighed = Watchlist.model_validate(document | {"weights": {"spam": 0}})
    (weights,) = {each.weights for each in watched_subjects(weighed).values()}
    assert weights is not None
    assert not weights.hears("SPAM", None, {})


def bot_flood(*, with_author: bool) -> list[Mention]:
    """The simulated flood about Castrivo: every post a story of its own, and plainly negative.

    Without its author it is a source that floods; the other posts stay as they are.
    """
    scenario = build_scenario("bot-flood", seed=3)
    matcher = Matcher(Watchlist.model_validate(scenario.watchlist))
    messages = [
        (entry.at_ms, entry.message)
        for entry in scenario.entries
        if entry.message is not None and _is_about(matcher, entry.message, "castrivo")
    ]
    angry, posts = Counter(message.author for _, message in messages if message.author).most_common(
        1
    )[0]
    assert posts > 50
    mentions = []
    for offset, (at_ms, message) in enumerate(messages):
        text = f"{message.title or ''} {message.text}"
        changes: dict[str, Any] = {
            "subject": "castrivo", "source": message.source, "author": message.author,
            "kind": message.kind, "fingerprint": fingerprint(text),
        }  # fmt: skip
        tone = ("negative", "neutral", "positive")[
            StubClassifier().classify([Pair(text, "Castrivo")])[0].argmax()
        ]
        if message.author == angry:
            tone = "negative"
            changes["fingerprint"] = sketch(f"post {offset}")
            if not with_author:
                changes |= {"author": None, "source": "shouting"}
        mentions.append(mention(at_ms, offset, tone, **changes))
    return mentions


def _is_about(matcher: Matcher, message: RawMessage, subject: str) -> bool:
    matches = matcher.match(message.text, message.title, message.subjects)
    return subject in {match.subject_id for match in matches}


def test_the_simulated_flood_fires_nothing_by_its_author_nor_as_a_source() -> None:
    assert play(bot_flood(with_author=False), surge(1))
    assert play(bot_flood(with_author=False), surge(3)) == []
    assert play(bot_flood(with_author=True), surge(3)) == []
