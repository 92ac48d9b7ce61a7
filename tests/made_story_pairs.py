"""Writes tests/data/story_pairs.jsonl: pairs of texts, labelled as one story or two.

`python -m made_story_pairs` (with services and tests on the path) makes the rows `made: rule` anew
from the simulator's sentences and keeps those `made: hand`, which people edit in the file. A label
follows from how the pair was made: an edit that leaves the news as it is gives a copy; another
event, company, quarter or direction in the same words gives another story. `part` (choose, judge)
is a hash of the first text, so that a sentence with all its edits falls into one part.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xxhash

from undertone.simulate.world import companies, compose, grammar

PAIRS = Path(__file__).parent / "data" / "story_pairs.jsonl"
EACH = 16
STORIES = ("neutral", "positive", "negative", "recall", "bank", "praise")
NUMERALS = ("three", "four", "five", "six", "seven", "eight", "nine", "eleven", "fifteen")
_NUMBER = re.compile(rf"\b(?:\d+(?:\.\d+)?|{'|'.join(NUMERALS)})\b")
_PREFIXES = ["UPDATE 1-", "UPDATE 2-", "RPT-", "CORRECTED-", "WRAPUP 3-", "REFILE-", "CORRECTED: "]
_PREFIXES += ["RPT-UPDATE 1-", "BREAKING: ", "Update 4: ", "TEXT-", "JUST IN: ", "(Adds detail) "]
_SUFFIXES = [" - Meridian Wire", " | Tally Post", " (Harbour Ledger)", " - sources", " -report"]
_SUFFIXES += [" — Daily Anvil", " -paper", ", {said}"]
_TAGS = [
    " #business",
    " #news",
    " https://news.example/a/{n}",
    " http://short.example/{n} #markets",
]
_TAGS += [
    " via @{handle}",
    " (via @{handle})",
    " cc @{handle}",
    " #{city_tag} https://short.example/{n}",
]
_HANDLES = ["amber_otter12", "quiet_kettle", "NorthMaple", "tallypost", "brave_comet7"]
_SWAPS = [("percent", "pct"), ("euros", "eur"), ("after", "following"), ("says", "said")]
_SWAPS += [("million", "mln"), ("people", "persons"), ("shares", "stock"), ("from", "out of")]
# The same sentence with the opposite news, or of another time; {x} as in the simulator's texts.
_OPPOSITES = [
    ("{name} {period} profit rises {percent} percent on demand for {product}",
     "{name} {period} profit falls {percent} percent on demand for {product}"),
    ("{short} beats forecasts as {product} sells well in {place}",
     "{short} misses forecasts as {product} sells badly in {place}"),
    ("{short} shares climb {percent} percent after trading update",
     "{short} shares dip {percent} percent after trading update"),
    ("Analysts upgrade {name}, praise {ceo}", "Analysts downgrade {name}, criticise {ceo}"),
    ("{name} wins {money} euro order from {place}", "{name} loses {money} euro order from {place}"),
    ("{short} lifts dividend after {period} results",
     "{short} cuts dividend after {period} results"),
    ("{ticker} up {percent} percent today", "{ticker} down {percent} percent today"),
    ("{short} to open plant in {place}, hire {number} hundred",
     "{short} to close plant in {place}, fire {number} hundred"),
    ("{ceo} confirms {short} is in talks with {rival}",
     "{ceo} denies {short} is in talks with {rival}"),
    ("{name} raises full-year outlook, {said}", "{name} lowers full-year outlook, {said}"),
]  # fmt: skip
_TIMES = [
    ("{name} Q1 profit rises {percent} percent on {product}",
     "{name} Q3 profit rises {percent} percent on {product}"),
    ("{name} first-quarter sales slip {percent} percent, below expectations",
     "{name} third-quarter sales slip {percent} percent, below expectations"),
    ("{short} publishes annual report for 2024", "{short} publishes annual report for 2025"),
    ("{name} to report half-year figures, {said}", "{name} to report full-year figures, {said}"),
    ("{short} January deliveries of {product} up {percent} percent",
     "{short} June deliveries of {product} up {percent} percent"),
    ("{ticker} 2Q earnings call at {place}", "{ticker} 4Q earnings call at {place}"),
    ("{short} sees 2025 sales of {money} euros", "{short} sees 2026 sales of {money} euros"),
    ("{name} H1 results: costs for {theme} weigh", "{name} H2 results: costs for {theme} weigh"),
]  # fmt: skip
_SHORT = ["{ticker}", "{ticker} up", "{ticker} down", "{short} recall", "buy {ticker}", "{short}?"]
_SHORT += ["sell {ticker} now", "{short} wow", "{short} results", "{ticker} earnings", "{ceo}"]


class Maker:
    """Draws companies, sentences and edits from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def facts(self, company_id: str | None = None) -> dict[str, tuple[str, ...]]:
        """One choice for every fact of a company, and for the shared lists of single words."""
        known = companies()
        company = known[company_id or self.chance.choice(sorted(known))]
        facts = {name: (self.chance.choice(lines),) for name, lines in company.facts.items()}
        for name, lines in grammar().lines.items():
            if not any("{" in line for line in lines) and name not in facts:
                facts[name] = (self.chance.choice(lines),)
        return facts

    def fill(self, line: str, facts: dict[str, tuple[str, ...]]) -> str:
        """A line of this file or of the simulator, filled in."""
        found = grammar().sentence("line", {**facts, "line": (line,)}, self.chance)
        return found[0].upper() + found[1:]

    def text(self, story: str | None = None, kind: str | None = None) -> str:
        """A headline, or a post with or without its aside."""
        story = story or self.chance.choice(STORIES)
        kind = kind or self.chance.choice(["news", "social"])
        title, text = compose(self.facts(), story, kind, self.chance)  # type: ignore[arg-type]
        return title or text

    def texts(self, wanted: Callable[[str], object]) -> Iterator[str]:
        """Sixteen different texts of at least six words that are fit for an edit."""
        seen: set[str] = set()
        while len(seen) < EACH:
            text = self.text()
            if len(text.split()) >= 6 and wanted(text) and text not in seen:
                seen.add(text)
                yield text

    def _noise(self, line: str) -> str:
        handle, number = self.chance.choice(_HANDLES), str(self.chance.randrange(1000, 9999))
        return grammar().sentence(
            "line", {"line": (line.replace(" ", "_~"),), "handle": (handle,), "n": (number,)},
            self.chance,
        ).replace("_~", " ")  # fmt: skip

    # Edits that leave the story as it is.

    def wire_prefix(self, text: str) -> str:
        return self.chance.choice(_PREFIXES) + text

    def retweet(self, text: str) -> str:
        return f"{self.chance.choice(['RT', 'RT', 'MT'])} @{self.chance.choice(_HANDLES)}: {text}"

    def appended(self, text: str) -> str:
        return text + self._noise(self.chance.choice(_TAGS))

    def source_suffix(self, text: str) -> str:
        return text.rstrip(".") + self._noise(self.chance.choice(_SUFFIXES))

    def truncated(self, text: str) -> str:
        kept = round(len(text) * self.chance.uniform(0.6, 0.85))
        return text[:kept].rstrip() + self.chance.choice(["...", "…", " ..."])

    def number(self, text: str) -> str:
        def other(found: re.Match[str]) -> str:
            if found[0] in NUMERALS:
                return self.chance.choice([one for one in NUMERALS if one != found[0]])
            return str(round(float(found[0]) * self.chance.uniform(1.1, 2.5) + 1))

        return _NUMBER.sub(other, text)

    def case_and_marks(self, text: str) -> str:
        marked = text.replace(",", " -").replace(":", " -").rstrip(".!") + self.chance.choice("!.")
        return self.chance.choice([text.upper(), text.lower(), marked, f'"{marked}"'])

    def small_edits(self, text: str) -> str:
        for old, new in _SWAPS:
            if f" {old} " in text:
                return text.replace(f" {old} ", f" {new} ")
        words = text.split()
        if len(words) > 10 and self.chance.random() < 0.5:
            return " ".join(words[:-1])
        return f"{text.rstrip('.')} {self.chance.choice(['today', 'this week', 'again', 'now'])}"

    def tail_order(self, text: str) -> str:
        words = text.split()
        return " ".join([*words[:-3], words[-1], *words[-3:-1]])

    def several(self, text: str) -> str:
        return self.appended(self.number(self.wire_prefix(text)))

    # Pairs that share words but not the news.

    def other_event(self) -> tuple[str, str]:
        facts, story = self.facts(), self.chance.choice(STORIES)
        return tuple(self._two(story, facts, facts))  # type: ignore[return-value]

    def same_event_other_story(self) -> tuple[str, str]:
        facts = self.facts()
        return tuple(self._two(self.chance.choice(["recall", "bank", "praise"]), facts, facts))  # type: ignore[return-value]

    def _two(self, story: str, one: Any, other: Any) -> list[str]:
        lines = grammar().lines[f"{story}.{self.chance.choice(['news', 'social'])}"]
        return [
            self.fill(line, facts)
            for line, facts in zip(self.chance.sample(lines, 2), (one, other), strict=True)
        ]

    def same_template(self) -> tuple[str, str]:
        while True:
            company = self.chance.choice(sorted(companies()))
            story = self.chance.choice(STORIES)
            lines = grammar().lines[f"{story}.{self.chance.choice(['news', 'social'])}"]
            line = self.chance.choice(lines)
            one, other = (self.fill(line, self.facts(company)) for _ in range(2))
            differ = set(_plain(one)) ^ set(_plain(other))
            if len(differ) >= 4 and len(_plain(one)) >= 6:
                return one, other

    def other_company(self) -> tuple[str, str]:
        one, other = self.chance.sample(sorted(companies()), 2)
        first = self.facts(one)
        second = self.facts(other)
        shared = {
            name: value for name, value in first.items() if name not in companies()[one].facts
        }
        line = self.chance.choice(grammar().lines[f"{self.chance.choice(STORIES[:3])}.news"])
        return self.fill(line, first), self.fill(line, {**second, **shared})

    def opposite(self) -> tuple[str, str]:
        return self._framed(_OPPOSITES)

    def other_time(self) -> tuple[str, str]:
        return self._framed(_TIMES)

    def _framed(self, frames: list[tuple[str, str]]) -> tuple[str, str]:
        facts = self.facts()
        one, other = self.chance.choice(frames)
        return self.fill(one, facts), self.fill(other, facts)

    def short(self) -> tuple[str, str]:
        facts = self.facts()
        one, other = self.chance.sample(_SHORT, 2)
        if self.chance.random() < 0.4:
            other = self.chance.choice(grammar().lines["negative.social"])
        return self.fill(one, facts), self.fill(other, facts)


COPIES = ("wire_prefix", "retweet", "appended", "source_suffix", "truncated", "number",
          "case_and_marks", "small_edits", "tail_order", "several")  # fmt: skip
OTHERS = ("other_event", "same_event_other_story", "same_template", "other_company", "opposite",
          "other_time", "short")  # fmt: skip


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z]+", _NUMBER.sub("", text.lower()))


def part_of(text: str) -> str:
    """Whether a pair that begins with this text is for choosing or for judging."""
    return "judge" if xxhash.xxh3_64_intdigest(text.encode()) % 2 else "choose"


def by_rule(seed: int = 7) -> Iterator[dict[str, Any]]:
    """The pairs made by rule, in their order."""
    maker = Maker(seed)
    for kind in COPIES:
        fit: Callable[[str], object] = _NUMBER.search if kind in {"number", "several"} else len
        for text in maker.texts(fit):
            yield row(kind, True, "rule", text, getattr(maker, kind)(text))
    for kind in OTHERS:
        seen: set[tuple[str, str]] = set()
        while len(seen) < round(EACH * 1.5):
            one, other = getattr(maker, kind)()
            if one != other and (one, other) not in seen:
                seen.add((one, other))
                yield row(kind, False, "rule", one, other)


def row(kind: str, same: bool, made: str, one: str, other: str) -> dict[str, Any]:
    """A line of the file."""
    return {"part": part_of(one), "same": same, "kind": kind, "made": made, "one": one,
            "other": other}  # fmt: skip


def main() -> None:
    """Write the file."""
    lines = PAIRS.read_text("utf-8").splitlines() if PAIRS.exists() else []
    kept = [found for found in map(json.loads, lines) if found["made"] == "hand"]
    rows = [
        *by_rule(),
        *(row(one["kind"], one["same"], "hand", one["one"], one["other"]) for one in kept),
    ]
    PAIRS.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), "utf-8")


if __name__ == "__main__":
    main()
