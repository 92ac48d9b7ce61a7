"""The parts that a scenario is composed of: quiet days, surges, copies, floods, broken records."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from undertone.ingest.planning import Arrival, arrival_of
from undertone.records import TEXT_LIMIT_BYTES, Kind, RawMessage, format_instant
from undertone.simulate.grammar import Lines
from undertone.simulate.world import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    Company,
    Writer,
    companies,
    compose,
    grammar,
    media,
    moments,
    pick,
    surge,
)
from undertone.truth import TruthEvent

NEWS_SHARE = 0.35
_FIGURE = re.compile(r"\d+(\.\d+)?")
_MOODS = (("neutral", 0.6), ("positive", 0.22), ("negative", 0.18))


@dataclass(frozen=True)
class SimulatedEntry:
    """One record of a simulated stream: a message, or bytes that are none."""

    at_ms: int
    kind: Kind
    message: RawMessage | None = None
    raw: bytes = b""

    def arrival(self) -> Arrival:
        """The raw record as ingest plans it."""
        if self.message is None:
            return Arrival(self.at_ms, self.raw, self.kind)
        return arrival_of(self.message)

    def line(self) -> bytes:
        """The line of a file, with the recorded arrival."""
        return self.raw if self.message is None else self.message.to_json()


@dataclass(frozen=True)
class Scenario:
    """A simulated stream in order of arrival, and what truly happens in it.

    Recorded time ends at `end_ms`, past the last entry, so that windows empty and alerts resolve.
    """

    name: str
    seed: int
    start_ms: int
    end_ms: int
    entries: list[SimulatedEntry]
    truth: list[TruthEvent]
    watchlist: dict[str, Any]

    def arrivals(self) -> list[Arrival]:
        """All records for `undertone.ingest.planning.plan`, in order of arrival."""
        return [entry.arrival() for entry in self.entries]


@dataclass
class Script:
    """Collects entries and events. Everything that is random comes from `chance`."""

    name: str
    seed: int
    start_ms: int
    end_ms: int
    entries: list[SimulatedEntry] = field(default_factory=list)
    truth: list[TruthEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.name}/{self.seed}")
        self._writer = Writer(f"{self.name}-{self.seed}", self.chance)

    def scenario(self, watchlist: dict[str, Any]) -> Scenario:
        """What has been collected, in order of arrival."""
        entries = sorted(self.entries, key=lambda entry: entry.at_ms)
        truth = sorted(self.truth, key=lambda event: (event.start, event.subject))
        return Scenario(self.name, self.seed, self.start_ms, self.end_ms, entries, truth, watchlist)

    def quiet(
        self, count: int, *, until_ms: int, nobody_share: float = 0.08, odd_stamps: float = 0.0
    ) -> None:
        """`count` messages of ordinary days about all companies, some of them about nobody.

        A share `odd_stamps` of them is published long or a little before it arrives, or after.
        """
        chance = self.chance
        news = round(count * NEWS_SHARE)
        times = [
            (kind, at_ms)
            for kind, share in ((Kind.NEWS, news), (Kind.SOCIAL, count - news))
            for at_ms in moments(share, self.start_ms, until_ms, kind, chance)
        ]
        everyone = list(companies().values())
        for kind, at_ms in times:
            company = None if chance.random() < nobody_share else chance.choice(everyone)
            published_at = self._odd_stamp(at_ms) if chance.random() < odd_stamps else None
            self._add(at_ms, kind, company, self._ordinary(company), published_at=published_at)

    def event(
        self,
        company_id: str,
        story: str,
        count: int,
        *,
        start_ms: int,
        peak_after_ms: int,
        polarity: str,
        description: str,
    ) -> None:
        """A surge of `count` different stories in news and posts; the truth names it."""
        company = companies()[company_id]
        last_ms = start_ms + 12 * peak_after_ms
        times = surge(count, start_ms, peak_after_ms, self.chance, last_ms=last_ms)
        for index, at_ms in enumerate(times):
            is_news = index == 0 or self.chance.random() < NEWS_SHARE
            self._add(at_ms, Kind.NEWS if is_news else Kind.SOCIAL, company, story)
        end_ms = start_ms + 5 * peak_after_ms  # 96% of a gamma distribution of shape 2 lies before
        self.truth.append(
            TruthEvent.model_validate(
                {
                    "subject": company_id,
                    "start": times[0],
                    "end": end_ms,
                    "polarity": polarity,
                    "description": description,
                }
            )
        )

    def copies(self, company_id: str, count: int, *, start_ms: int, spread_ms: int) -> None:
        """One negative story that many papers and accounts copy nearly word for word."""
        chance, writer = self.chance, self._writer
        story = self._sentence("syndicated.story", companies()[company_id].facts)
        for index in range(count):
            at_ms = start_ms if index == 0 else start_ms + chance.randrange(1, spread_ms)
            if index and chance.random() < 0.3:
                text = f"RT @{chance.choice(media().news).replace('-', '_')}: {story}"
                message = writer.message(at_ms, Kind.SOCIAL, text)
            else:
                prefix = self._sentence("syndicated.prefix") if index else ""
                suffix = f" {self._sentence('syndicated.suffix')}" if index else ""
                text = f"{prefix}{self._reworded(story) if index else story}{suffix}".strip()
                message = writer.message(at_ms, Kind.NEWS, text)
            self.entries.append(SimulatedEntry(at_ms, message.kind, message))

    def flood(self, company_id: str, count: int, *, start_ms: int, spread_ms: int) -> None:
        """One account that posts against one company again and again."""
        author = self._writer.author()
        source = self.chance.choice(media().social)
        for at_ms in sorted(start_ms + self.chance.randrange(spread_ms) for _ in range(count)):
            self._add(
                at_ms, Kind.SOCIAL, companies()[company_id], "flood", author=author, source=source
            )

    def broken(self, count: int, *, start_ms: int, end_ms: int) -> None:
        """`count` records that no reader can take for messages, in turn of every sort."""
        for index in range(count):
            at_ms = self.chance.randrange(start_ms, end_ms)
            raw = broken_record(index, at_ms)
            kind = Kind.NEWS if index % 3 == 0 else Kind.SOCIAL
            self.entries.append(SimulatedEntry(at_ms, kind, raw=raw))

    def _add(
        self,
        at_ms: int,
        kind: Kind,
        company: Company | None,
        story: str,
        *,
        published_at: int | None = None,
        author: str | None = None,
        source: str | None = None,
    ) -> None:
        facts = dict(company.facts) if company is not None else {}
        if company is not None and story == "pair":
            others = [other for other in companies().values() if other.id != company.id]
            facts["other"] = (self.chance.choice(others).short,)
        title, text = compose(facts, story, kind, self.chance)
        message = self._writer.message(
            at_ms,
            kind,
            text,
            title=title,
            author=author,
            source=source,
            published_at=published_at,
        )
        self.entries.append(SimulatedEntry(at_ms, kind, message))

    def _reworded(self, story: str) -> str:
        """The story, in one copy of five with another figure."""
        if self.chance.random() >= 0.2:
            return story
        return _FIGURE.sub(lambda found: str(round(float(found[0]) * 1.2, 1)), story, count=1)

    def _sentence(self, name: str, facts: Lines | None = None) -> str:
        return grammar().sentence(name, facts or {}, self.chance)

    def _ordinary(self, company: Company | None) -> str:
        if company is None:
            return "nobody"
        return "pair" if self.chance.random() < 0.04 else pick(_MOODS, self.chance)

    def _odd_stamp(self, at_ms: int) -> int:
        """A time of publication hours before the arrival, minutes before it, or after it."""
        chance = self.chance
        sort = chance.randrange(3)
        if sort == 0:
            return at_ms - chance.randrange(2 * HOUR_MS, 30 * HOUR_MS)
        if sort == 1:
            return at_ms - chance.randrange(5 * MINUTE_MS, 50 * MINUTE_MS)
        return at_ms + chance.randrange(5 * MINUTE_MS, DAY_MS)


def broken_record(index: int, at_ms: int) -> bytes:
    """Bytes that are no raw message; `index` chooses what is wrong with them."""
    when = format_instant(at_ms)
    good = {"id": f"broken-{index}", "source": "plaza", "kind": "social", "published_at": when}
    sorts: tuple[dict[str, Any] | bytes, ...] = (
        b'{"id": "broken-%d", "source": "plaza", "text": "cut off in the' % index,
        {**good, "text": 12345},
        {**good, "text": "a time without a zone", "published_at": when.rstrip("Z")},
        b'{"id": "broken-%d", "source": "plaza", "text": "\xff\xfe not UTF-8 \xc3\x28"}' % index,
        {**good, "text": "   "},
        f"plain words number {index}, not JSON at all".encode(),
        {**good, "text": "far too long " * (TEXT_LIMIT_BYTES // 12)},
        {"id": f"broken-{index}", "source": "plaza", "text": "published at no time"},
        orjson.dumps(["a list", index, "is not a message"]),
        {**good, "text": "a crowd below nothing", "audience": -5},
    )
    chosen = sorts[index % len(sorts)]
    return chosen if isinstance(chosen, bytes) else orjson.dumps(chosen)
