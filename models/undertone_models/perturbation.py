"""Small changes of a row that leave its label as it is, and the words of its target."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from functools import partial

from sentencex import segment

from undertone_models.labelled import LabelledRow
from undertone_models.pairs import Span
from undertone_models.substitution import occurrences

Perturbation = Callable[[LabelledRow, random.Random], LabelledRow | None]
"""The changed row, or None where the change does not apply; the same seed, the same change."""

TYPO_SHARE = 0.1
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_PLAIN_WORD = re.compile(r"(?<!\S)[(\"'“‘]?(?P<word>[A-Za-z]{4,})[)\"'”’.,;:!?…]*(?!\S)")
_EMOJI = ("📰", "🔔", "👀", "🗓️")
_HASHTAGS = ("#news", "#update", "#today", "#monday")
_LINKS = ("https://t.co/4fQxk2Lw9a", "http://bit.ly/2kTzR0e", "https://example.org/a/20417")


def typos(row: LabelledRow, random_: random.Random) -> LabelledRow | None:
    """Hit a neighbouring key in one of ten words (at least one) of four letters or more."""
    words = [
        match.span("word")
        for match in _PLAIN_WORD.finditer(row.text)
        if not any(match.start() < end and start < match.end() for start, end in _targets(row))
    ]
    if not words:
        return None
    text = list(row.text)
    for start, end in random_.sample(words, max(1, round(TYPO_SHARE * len(words)))):
        # The first letter carries the word's case, and people mistype it least.
        place = random_.randrange(start + 1, end)
        text[place] = _neighbour(text[place], random_)
    return row._replace(text="".join(text))


def upper_case(row: LabelledRow, _random: random.Random) -> LabelledRow | None:
    """SHOUTED, the target too."""
    return _recased(row, str.upper)


def lower_case(row: LabelledRow, _random: random.Random) -> LabelledRow | None:
    """all small letters, the target too."""
    return _recased(row, str.lower)


def whitespace(row: LabelledRow, random_: random.Random) -> LabelledRow | None:
    """Some single spaces become two, a tab, or a line's end."""
    return _outside_target(
        row, lambda part: re.sub(" ", lambda _: random_.choice((" ", " ", "  ", "\t", "\n")), part)
    )


def truncated(row: LabelledRow, _random: random.Random) -> LabelledRow | None:
    """The first half, or up to the end of the first sentence that holds the target, if later."""
    targets = _targets(row)
    if not targets:
        return None
    reached = 0
    for sentence in segment("en", row.text):
        reached = max(reached, row.text.find(sentence, reached)) + len(sentence.rstrip())
        if reached >= targets[0][1]:
            break
    return _cut(row, max(reached, targets[0][1], _half(row.text)))


def halved(row: LabelledRow, _random: random.Random) -> LabelledRow | None:
    """The first half of a message without target.

    Its mood may have stood in the other half: flips here say how much of a message must be read,
    not that an answer is wrong.
    """
    return _cut(row, _half(row.text)) if row.target is None else None


def appended(
    row: LabelledRow, random_: random.Random, *, choices: tuple[str, ...]
) -> LabelledRow | None:
    """One of `choices` behind the text."""
    return row._replace(text=f"{row.text} {random_.choice(choices)}")


def retweeted(row: LabelledRow, _random: random.Random) -> LabelledRow | None:
    """`RT @newsdesk:` before the text."""
    prefix = "RT @newsdesk: "
    span = (row.span[0] + len(prefix), row.span[1] + len(prefix)) if row.span else None
    return row._replace(text=prefix + row.text, span=span)


PERTURBATIONS: Mapping[str, Perturbation] = {
    "typos": typos,
    "upper case": upper_case,
    "lower case": lower_case,
    "whitespace": whitespace,
    "emoji added": partial(appended, choices=_EMOJI),
    "hashtag added": partial(appended, choices=_HASHTAGS),
    "link added": partial(appended, choices=_LINKS),
    "retweet mark": retweeted,
    "truncated behind the target": truncated,
    "first half of a message": halved,
}


def _targets(row: LabelledRow) -> list[Span]:
    if row.target is None:
        return []
    return [row.span] if row.span else occurrences(row.text, row.target)


def _outside_target(row: LabelledRow, change: Callable[[str], str]) -> LabelledRow | None:
    """Apply `change` to each stretch between the target's occurrences; None if nothing differs."""
    text, end = "", 0
    span = row.span
    for start, stop in _targets(row):
        text += change(row.text[end:start])
        if row.span:
            span = (len(text), len(text) + stop - start)
        text += row.text[start:stop]
        end = stop
    text += change(row.text[end:])
    return row._replace(text=text, span=span) if text != row.text else None


def _half(text: str) -> int:
    """The end of the word in the middle of the text."""
    space = text.find(" ", len(text) // 2)
    return space if space >= 0 else len(text)


def _cut(row: LabelledRow, end: int) -> LabelledRow | None:
    return row._replace(text=row.text[:end]) if end < len(row.text) else None


def _recased(row: LabelledRow, change: Callable[[str], str]) -> LabelledRow | None:
    """Change the case of every letter whose other case is one character, so that spans hold."""

    def recase(text: str) -> str:
        return "".join(other if len(other := change(each)) == 1 else each for each in text)

    changed = row._replace(
        text=recase(row.text), target=None if row.target is None else recase(row.target)
    )
    return changed if changed != row else None


def _neighbour(letter: str, random_: random.Random) -> str:
    """A key beside this letter's on its row of the keyboard, in the same case."""
    keys = next(keys for keys in _KEYBOARD if letter.lower() in keys)
    place = keys.index(letter.lower())
    other = random_.choice(keys[max(0, place - 1) : place] + keys[place + 1 : place + 2])
    return other.upper() if letter.isupper() else other
