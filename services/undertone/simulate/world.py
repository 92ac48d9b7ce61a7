"""The simulated world: who is watched, who speaks, what is said and when people are awake."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from undertone.records import Kind, RawMessage
from undertone.simulate.grammar import Grammar, Lines

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# How busy each hour of the day is (UTC), a share of the busiest.
_NEWS_HOURS = (1, 1, 1, 1, 2, 4, 8, 10, 10, 9, 9, 8, 8, 9, 9, 8, 7, 5, 4, 3, 2, 2, 1, 1)
_SOCIAL_HOURS = (3, 2, 1, 1, 1, 2, 4, 6, 6, 6, 6, 7, 8, 7, 6, 6, 7, 8, 9, 10, 10, 9, 7, 5)
_EXTRA_SHARE = {Kind.NEWS: 0.6, Kind.SOCIAL: 0.85}
_WEEKEND = {Kind.NEWS: 0.35, Kind.SOCIAL: 0.9}


@dataclass(frozen=True)
class Company:
    """A subject of the simulated world, and the facts that texts about it may use."""

    id: str
    name: str
    short: str
    ticker: str
    desk: str
    facts: Lines


@dataclass(frozen=True)
class Media:
    """Who publishes."""

    news: tuple[str, ...]
    social: tuple[str, ...]
    author_first: tuple[str, ...]
    author_last: tuple[str, ...]


@cache
def companies() -> dict[str, Company]:
    """The companies by id, in the order of the file."""
    return {entry["id"]: _company(entry) for entry in _read("world.yaml")["subjects"]}


@cache
def media() -> Media:
    """The invented papers, platforms and authors' names."""
    world = _read("world.yaml")
    return Media(
        *(
            tuple(world[name])
            for name in ("news_sources", "social_sources", "author_first", "author_last")
        )
    )


@cache
def grammar() -> Grammar:
    """All texts."""
    return Grammar(
        {name: tuple(str(line) for line in lines) for name, lines in _read("texts.yaml").items()}
    )


def watchlist_document() -> dict[str, Any]:
    """The watchlist of the simulated world, as its YAML holds it."""
    return {
        "prior": {"stories_per_day": 60, "negative_share": 0.2},
        "subjects": [
            {
                "id": company.id,
                "name": company.name,
                "type": "company",
                "terms": [company.short, company.ticker],
                "labels": {"desk": company.desk},
            }
            for company in companies().values()
        ],
    }


class Writer:
    """Composes messages. All chance comes from `chance`; ids count up from 1."""

    def __init__(self, prefix: str, chance: random.Random) -> None:
        self._prefix = prefix
        self._chance = chance
        self._count = 0

    def message(
        self,
        at_ms: int,
        kind: Kind,
        text: str,
        *,
        title: str | None = None,
        author: str | None = None,
        source: str | None = None,
        published_at: int | None = None,
    ) -> RawMessage:
        """A message that arrives at `at_ms`, by default published seconds before."""
        self._count += 1
        chance = self._chance
        number = f"{self._count:06d}"
        if kind == Kind.NEWS:
            source = source or chance.choice(media().news)
            url: str | None = f"https://news.example/{source}/{number}"
            audience = None
        else:
            source = source or chance.choice(media().social)
            author = author or self.author()
            url = f"https://social.example/{author}/{number}"
            audience = int(chance.lognormvariate(5, 1.4))
        if published_at is None:
            published_at = at_ms - chance.randrange(1, 45) * SECOND_MS
        return RawMessage(
            id=f"{self._prefix}-{number}",
            source=source,
            kind=kind,
            published_at=published_at,
            text=text,
            title=title,
            url=url,
            author=author,
            language="en",
            audience=audience,
            arrived_at=at_ms,
        )

    def author(self) -> str:
        """The name of an account."""
        chance = self._chance
        first, last = chance.choice(media().author_first), chance.choice(media().author_last)
        return f"{first}_{last}{chance.randrange(1, 400)}"


def moments(count: int, start_ms: int, end_ms: int, kind: Kind, chance: random.Random) -> list[int]:
    """`count` times in [start, end), by the rhythm of day and week, in order.

    Drawn by rejection from the rhythm's density.
    """
    drawn: list[int] = []
    while len(drawn) < count:
        at_ms = chance.randrange(start_ms, end_ms)
        if chance.random() < _busyness(at_ms, kind):
            drawn.append(at_ms)
    return sorted(drawn)


def surge(
    count: int, start_ms: int, peak_after_ms: int, chance: random.Random, *, last_ms: int
) -> list[int]:
    """`count` times of news that breaks at `start_ms`, peaks and fades; the first at the start.

    A gamma distribution of shape 2 has its peak at its scale; nothing comes after `last_ms`.
    """
    drawn = [start_ms]
    while len(drawn) < count:
        at_ms = start_ms + round(chance.gammavariate(2.0, peak_after_ms))
        if at_ms < last_ms:
            drawn.append(at_ms)
    return sorted(drawn)


def pick(weights: Sequence[tuple[str, float]], chance: random.Random) -> str:
    """One of the names, by weight."""
    names = [name for name, _ in weights]
    return chance.choices(names, [weight for _, weight in weights])[0]


def compose(facts: Lines, story: str, kind: Kind, chance: random.Random) -> tuple[str | None, str]:
    """The title (if any) and text of one piece: a headline, a headline and a report, or a post.

    Most posts begin with an aside, so that two posts of one pattern are different stories.
    """
    headline = grammar().sentence(f"{story}.{kind}", facts, chance)
    extra = f"{story}.{'body' if kind == Kind.NEWS else 'aside'}"
    if extra not in grammar().lines or chance.random() > _EXTRA_SHARE[kind]:
        return None, headline
    sentence = grammar().sentence(extra, facts, chance)
    if kind == Kind.NEWS:
        return headline, sentence
    return None, f"{sentence} {headline[0].upper()}{headline[1:]}"


def _busyness(at_ms: int, kind: Kind) -> float:
    hour = at_ms // HOUR_MS % 24
    weekday = (at_ms // DAY_MS + 3) % 7  # 1 January 1970 was a Thursday; Monday is 0
    hours = _NEWS_HOURS if kind == Kind.NEWS else _SOCIAL_HOURS
    return hours[hour] / 10 * (_WEEKEND[kind] if weekday >= 5 else 1.0)


def _company(entry: dict[str, Any]) -> Company:
    products = tuple(entry["product"])
    facts = {
        "name": (entry["name"], entry["name"], entry["short"]),
        "short": (entry["short"],),
        "ticker": (entry["ticker"],),
        "hash": (f"#{entry['short']}",),
        "ceo": (entry["ceo"],),
        "city": (entry["city"],),
        "rival": (entry["rival"],),
        "product": products,
        "product_cap": tuple(f"{entry['short']}'s {product}" for product in products),
    }
    return Company(
        entry["id"], entry["name"], entry["short"], entry["ticker"], entry["desk"], facts
    )


def _read(name: str) -> Any:
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))
