"""Short histories for tests of the replay: a quiet feed about two subjects, with a crisis."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from builders import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, mention
from undertone.alerting.rules import RuleSet, load_rules
from undertone.records import Mention, format_instant
from undertone.replay.steps import Advance, Counts, Step, clock_at
from undertone.watch.core import WatchConfig, WatchedSubject

SUBJECTS = ("acme", "globex")
WATCHLIST = """
subjects:
  - {id: acme, name: Acme, type: company, terms: [Acme]}
  - {id: globex, name: Globex, type: company, terms: [Globex]}
"""
QUIET_WORDS = ("opens", "names", "plans", "meeting", "moves", "office", "hires", "staff", "prints")


def config(rules: RuleSet | None = None, windows_ms: Sequence[int] = (3_600_000,)) -> WatchConfig:
    subjects = {name: WatchedSubject(name.title()) for name in SUBJECTS}
    return WatchConfig(rules or load_rules(), subjects, tuple(windows_ms))


def history(days: int = 4, crisis_hours: Sequence[float] = (60,), seed: int = 1) -> list[Mention]:
    """A few mentions an hour, and at each crisis twelve bad stories about acme within an hour."""
    chance = random.Random(seed)
    moments = [
        (START_MS + chance.randrange(days * DAY_MS), chance.choice(SUBJECTS), "neutral")
        for _ in range(days * 30)
    ]
    for hours in crisis_hours:
        start = START_MS + round(hours * HOUR_MS)
        moments += [(start + 4 * MINUTE_MS * i, "acme", "negative") for i in range(12)]
    return [
        mention(at_ms, offset, tone, subject=subject)
        for offset, (at_ms, subject, tone) in enumerate(sorted(moments))
    ]


class ListSource:
    """Mentions as a source, with the clock moved after every `each` of them."""

    name = "list"
    identity = None

    def __init__(
        self, mentions: Sequence[Mention], until_ms: int | None = None, each: int = 7
    ) -> None:
        self._mentions, self._until_ms, self._each = mentions, until_ms, each

    def steps(self, counts: Counts) -> Iterator[Step]:
        for number, each in enumerate(self._mentions):
            if self._until_ms is not None and each.ingested_at >= self._until_ms:
                break
            counts.begins_at_ms = counts.begins_at_ms or each.ingested_at
            if number and number % self._each == 0:
                counts.clock_ms = each.ingested_at
                yield Step(0, clock_at(each.ingested_at))
            counts.read += 1
            counts.messages += 1
            counts.note_mention(each)
            yield Step(0, each)
        end_ms = self._until_ms or self._mentions[-1].ingested_at + 1
        counts.clock_ms = end_ms
        yield Step(0, clock_at(end_ms))

    def advance(self) -> Advance:
        return Advance(0, len(self._mentions))


def write_file(path: Path, mentions: Sequence[Mention]) -> Path:
    """The same history as a file of messages, each with a text of its own."""
    chance = random.Random(7)
    lines = []
    for number, each in enumerate(mentions):
        name = each.subject.title()
        words = chance.sample(QUIET_WORDS, 5)
        if each.p_negative is not None and each.p_negative > 0.5:
            words += ["crisis", "fraud", "collapse"]
        text = f"{name} {' '.join(words)} {chance.randrange(10**9):x} {chance.randrange(10**9):x}"
        lines.append(
            orjson.dumps(
                {
                    "id": f"m{number}",
                    "source": "wire",
                    "kind": "news",
                    "published_at": format_instant(each.ingested_at),
                    "text": text,
                }
            )
        )
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path
