"""Rows changed in ways that leave their label: other names, casing, typos, no links.

Near words in the place of others may change it; who asks for them knows (`with_near_words`).

Each row's changes are a function of (seed, epoch, place in the epoch), so a resumed run sees the
same ones.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from undertone_models.labelled import LabelledRow
from undertone_models.marking import target_span
from undertone_models.near_words import NearWords
from undertone_models.substitution import (
    COMPANIES,
    COUNTRIES,
    GIVEN_NAMES,
    is_company,
    is_country,
    swapped,
)
from undertone_models.training_settings import Augmentation

LETTERS_PER_TYPO = 40  # a text of so many letters gets one, a longer one more

_LINK = re.compile(r"(?:https?://\S+|(?<!\w)@\w+)\s?")
_WORD = re.compile(r"[^\W\d_]{4,}")

Change = Callable[[str], str]


def augmented(row: LabelledRow, augment: Augmentation, draw: random.Random) -> LabelledRow:
    """The row with the changes that fall to it; its label, source and split stay."""
    # Every number is drawn whether it is needed or not, so that one share's value moves no other.
    swap, link, typo, case = (draw.random() for _ in range(4))
    names, typos, casing = (random.Random(draw.random()) for _ in range(3))
    if swap < augment.swap_targets:
        row = _with_other_target(row, names)
    if link < augment.drop_links:
        row = _around_target(row, _without_links)
    if typo < augment.typos:
        row = _around_target(row, lambda text: with_typos(text, typos))
    if case < augment.casing:
        row = _in_other_case(row, casing)
    return row


def with_near_words(row: LabelledRow, near: NearWords, draw: random.Random) -> LabelledRow:
    """The row with some words outside its target replaced by near ones; what it says may change."""
    return _around_target(row, lambda text: near.replaced(text, draw))


def with_typos(text: str, draw: random.Random) -> str:
    """The text with one letter in about forty swapped with the next, doubled or lost.

    Only inside words of at least four letters, and never their first one.
    """
    words = list(_WORD.finditer(text))
    if not words:
        return text
    count = 1 + len(text) // LETTERS_PER_TYPO
    places = {}
    for word in draw.sample(words, min(count, len(words))):
        places[word.start() + draw.randrange(1, len(word.group()) - 1)] = draw.randrange(3)
    parts, end = [], 0
    for place in sorted(places):
        letter, following = text[place], text[place + 1]
        typo = (following + letter, letter + letter + following, following)[places[place]]
        parts += [text[end:place], typo]
        end = place + 2
    return "".join([*parts, text[end:]])


def _with_other_target(row: LabelledRow, draw: random.Random) -> LabelledRow:
    """Another company, country or given name in the place of one; any other row as it is."""
    if row.target is None:
        return row
    if is_country(row):
        names = COUNTRIES
    elif is_company(row):
        names = COMPANIES
    elif row.target in GIVEN_NAMES:
        names = GIVEN_NAMES
    else:
        return row
    return swapped(row, draw.choice(names)) or row


def _without_links(text: str) -> str:
    return _LINK.sub("", text)


def _in_other_case(row: LabelledRow, draw: random.Random) -> LabelledRow:
    change: Change = str.lower if draw.random() < 0.5 else str.upper
    text = change(row.text)
    if len(text) != len(row.text):  # as ß becomes SS, the span would be another
        return row
    return row._replace(text=text, target=None if row.target is None else change(row.target))


def _around_target(row: LabelledRow, change: Change) -> LabelledRow:
    """The row with its text changed before and after the target, which stays whole."""
    span = target_span(row.pair)
    if span is None:
        if row.target is not None:
            return row  # the text says it in other words: nothing to keep whole is known
        text = change(row.text)
        return row._replace(text=text) if text.strip() else row
    before, target = change(row.text[: span[0]]), row.text[span[0] : span[1]]
    text = before + target + change(row.text[span[1] :])
    if row.span is None:
        return row._replace(text=text)
    return row._replace(text=text, span=(len(before), len(before) + len(target)))
