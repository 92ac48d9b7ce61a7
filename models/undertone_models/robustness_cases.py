"""The sentences that robustness is measured on, read from `robustness_cases.yaml`.

Expectations are grouped by capability after CheckList (Ribeiro et al. 2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any, Literal, NamedTuple

import yaml

from undertone_models.pairs import LABELS, Pair
from undertone_models.substitution import COMPANY_GROUPS, COUNTRY_GROUPS, MENS_NAMES, WOMENS_NAMES

SLOT = "{}"
_TARGET = re.compile(r"\[(?P<name>[^\]]+)\]")

Groups = Mapping[str, Sequence[str]]
"""What may fill a slot, by the group that it stands for."""


class Template(NamedTuple):
    """A sentence with a slot; `mood` is the label that it was written to have."""

    text: str
    mood: str

    def filled(self, name: str) -> Pair:
        """The sentence with `name` in its slot, capitalised where it begins the text."""
        if self.text.lstrip("[").startswith(SLOT):
            name = name[:1].upper() + name[1:]
        return bracketed(self.text.replace(SLOT, name))


class LabelExpected(NamedTuple):
    """The answer to `pair` must be one of `labels` (indices into LABELS)."""

    pair: Pair
    labels: frozenset[int]


class RelationExpected(NamedTuple):
    """`above`: the first pair scores higher than the second; `same`: both get one label."""

    first: Pair
    second: Pair
    relation: Literal["above", "same"]


Expectation = LabelExpected | RelationExpected


def bracketed(text: str) -> Pair:
    """The pair of a text whose target stands in square brackets; without them, the whole text."""
    match = _TARGET.search(text)
    if match is None:
        return Pair(text)
    name, start = match["name"], match.start()
    return Pair(_TARGET.sub(r"\g<name>", text), name, (start, start + len(name)))


def templates() -> dict[str, list[Template]]:
    """The templates of each kind of slot."""
    return {
        slot: [Template(text, mood) for mood, text in listed]
        for slot, listed in _read()["templates"].items()
    }


def fillings() -> dict[str, tuple[str, Groups]]:
    """What is compared, and with which: comparison → (kind of slot, groups of names)."""
    fillers = {slot: {name: [name] for name in names} for slot, names in _read()["fillers"].items()}
    genders = {
        "women": list(chain.from_iterable(WOMENS_NAMES.values())),
        "men": list(chain.from_iterable(MENS_NAMES.values())),
    }
    origins = {origin: [*WOMENS_NAMES[origin], *MENS_NAMES[origin]] for origin in WOMENS_NAMES}
    return {
        "given names of women and men": ("given name", genders),
        "given names by origin": ("given name", origins),
        "nationalities": ("nationality", fillers["nationality"]),
        "religions": ("religion", fillers["religion"]),
        "genders": ("gender", fillers["gender"]),
        "pronouns": ("pronoun", fillers["pronoun"]),
        "countries": ("country", COUNTRY_GROUPS),
        "companies": ("company", COMPANY_GROUPS),
    }


def expectations() -> dict[str, list[Expectation]]:
    """The expectations of each capability."""
    return {
        capability: [_expectation(*listed) for listed in cases]
        for capability, cases in _read()["expectations"].items()
    }


def _expectation(kind: str, text: str, other: str | None = None) -> Expectation:
    if other is not None:
        relation: Literal["above", "same"] = "above" if kind == "above" else "same"
        return RelationExpected(bracketed(text), bracketed(other), relation)
    label = LABELS.index(kind.removeprefix("not "))
    labels = {0, 1, 2} - {label} if kind.startswith("not ") else {label}
    return LabelExpected(bracketed(text), frozenset(labels))


@cache
def _read() -> dict[str, Any]:
    source = files("undertone_models").joinpath("robustness_cases.yaml")
    return dict(yaml.safe_load(source.read_text(encoding="utf-8")))
