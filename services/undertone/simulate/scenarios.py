"""Scripted streams with a seed and a known truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from undertone.errors import UsageError
from undertone.records import parse_instant
from undertone.simulate.script import Scenario, Script
from undertone.simulate.world import DAY_MS, HOUR_MS, MINUTE_MS, watchlist_document

MONDAY_MS = parse_instant("2025-03-03T00:00:00Z")
FEWEST_MESSAGES = 200


@dataclass(frozen=True)
class _Outline:
    """What a scenario is about, how long it lasts and how many messages it has by default."""

    description: str
    days: int
    messages: int
    compose: Callable[[Script, int], None]


def _quiet(script: Script, messages: int) -> None:
    script.quiet(messages, until_ms=script.end_ms)


def _recall_crisis(script: Script, messages: int) -> None:
    surge = _recall(script, messages * 15 // 100, day=5)
    script.quiet(messages - surge, until_ms=script.end_ms - 12 * HOUR_MS)


def _syndicated(script: Script, messages: int) -> None:
    copies = _copied_story(script, day=4)
    script.quiet(messages - copies, until_ms=script.end_ms)


def _praise(script: Script, messages: int) -> None:
    surge = _trial_success(script, messages * 10 // 100, day=4)
    script.quiet(messages - surge, until_ms=script.end_ms)


def _bot_flood(script: Script, messages: int) -> None:
    posts = _one_angry_account(script, messages * 6 // 100, day=4)
    script.quiet(messages - posts, until_ms=script.end_ms)


def _stamps(script: Script, messages: int) -> None:
    script.quiet(messages, until_ms=script.end_ms, odd_stamps=0.25)


def _malformed(script: Script, messages: int) -> None:
    count = max(20, messages // 40)
    script.broken(count, start_ms=script.start_ms, end_ms=script.end_ms)
    script.quiet(messages - count, until_ms=script.end_ms)


def _demo(script: Script, messages: int) -> None:
    calm_ms = 36 * HOUR_MS  # the rest after the last crisis, with the usual few messages
    scripted = [
        _recall(script, messages * 7 // 100, day=4),
        _bank_run(script, messages * 5 // 100, day=5),
        _trial_success(script, messages * 3 // 100, day=3),
        _copied_story(script, day=2),
        _one_angry_account(script, messages * 2 // 100, day=3),
    ]
    broken = max(10, messages // 400)
    script.broken(broken, start_ms=script.start_ms + DAY_MS, end_ms=script.end_ms - calm_ms)
    script.quiet(messages - sum(scripted) - broken, until_ms=script.end_ms, odd_stamps=0.02)


SCENARIOS = {
    "quiet": _Outline("a quiet week: nothing should fire", 7, 4_000, _quiet),
    "recall-crisis": _Outline(
        "a food company recalls products that make people ill, after days of quiet",
        7,
        4_000,
        _recall_crisis,
    ),
    "syndicated": _Outline(
        "one negative story copied fifty times: no reason to fire alone", 6, 3_000, _syndicated
    ),
    "praise": _Outline("a surge of good news about one company", 6, 3_000, _praise),
    "bot-flood": _Outline(
        "one account floods one company with abuse: no reason to fire", 6, 3_000, _bot_flood
    ),
    "stamps": _Outline("late and future times of publication", 6, 3_000, _stamps),
    "malformed": _Outline("records that are no messages, among good ones", 3, 1_500, _malformed),
    "demo": _Outline(
        "eight days of eight companies: a recall, a bank in trouble, praise, a copied story, "
        "a flood, odd stamps and broken records",
        8,
        5_600,
        _demo,
    ),
}


def build_scenario(name: str, *, seed: int = 1, messages: int | None = None) -> Scenario:
    """A scenario with exactly `messages` records (malformed ones included).

    The same name, seed and number give the same bytes, on every machine. Raises UsageError where
    there is no such scenario, or the number is below 200.
    """
    outline = SCENARIOS.get(name)
    if outline is None:
        raise UsageError(
            f"there is no scenario {name!r}",
            hint=f"Choose one of {', '.join(SCENARIOS)} (`undertone simulate --list`).",
        )
    count = outline.messages if messages is None else messages
    if count < FEWEST_MESSAGES:
        raise UsageError(f"--messages {count}: a scenario needs at least {FEWEST_MESSAGES}")
    script = Script(name, seed, MONDAY_MS, MONDAY_MS + outline.days * DAY_MS)
    outline.compose(script, count)
    return script.scenario(watchlist_document())


def _recall(script: Script, count: int, *, day: int) -> int:
    script.event(
        "halvermoor-foods",
        "recall",
        count,
        start_ms=_on(script, day, 9, 40),
        peak_after_ms=75 * MINUTE_MS,
        polarity="negative",
        description="Halvermoor Foods recalls contaminated products; people fall ill",
    )
    return count


def _bank_run(script: Script, count: int, *, day: int) -> int:
    script.event(
        "northbrae-bank",
        "bank",
        count,
        start_ms=_on(script, day, 14, 5),
        peak_after_ms=60 * MINUTE_MS,
        polarity="negative",
        description="Northbrae Bank locks its customers out and is accused of fraud",
    )
    return count


def _trial_success(script: Script, count: int, *, day: int) -> int:
    script.event(
        "ovantrel-health",
        "praise",
        count,
        start_ms=_on(script, day, 8, 15),
        peak_after_ms=90 * MINUTE_MS,
        polarity="positive",
        description="Ovantrel Health is praised for the results of a trial",
    )
    return count


def _copied_story(script: Script, *, day: int) -> int:
    start_ms = _on(script, day, 11, 0)
    script.copies("pellgrove-energy", 50, start_ms=start_ms, spread_ms=4 * HOUR_MS)
    return 50


def _one_angry_account(script: Script, count: int, *, day: int) -> int:
    start_ms = _on(script, day, 16, 0)
    script.flood("castrivo", count, start_ms=start_ms, spread_ms=3 * HOUR_MS)
    return count


def _on(script: Script, day: int, hour: int, minute: int) -> int:
    """A moment of the scenario; its first day is 1."""
    return script.start_ms + (day - 1) * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS
