"""Sentences from patterns: `{x}` becomes a random line of x, `[…]` is there half of the time."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

Lines = Mapping[str, Sequence[str]]

_SLOT = re.compile(r"\{([a-z_.]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_SPACES = re.compile(r"\s+")


class Grammar:
    """Named lists of lines; a line may refer to lists by name, to any depth.

    The facts given to `sentence` stand before the grammar's own lists. A name that nothing defines
    is a KeyError: the texts are part of the package, and a test expands every line.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def sentence(self, name: str, facts: Lines, chance: random.Random) -> str:
        """One line of `name`, filled in, with single spaces."""
        return _SPACES.sub(" ", self._expand(f"{{{name}}}", facts, chance)).strip()

    def _expand(self, text: str, facts: Lines, chance: random.Random) -> str:
        text = _OPTIONAL.sub(lambda found: found[1] if chance.random() < 0.5 else "", text)
        parts: list[str] = []
        end = 0
        for slot in _SLOT.finditer(text):
            choices = facts.get(slot[1]) or self.lines[slot[1]]
            parts.append(text[end : slot.start()])
            parts.append(self._expand(chance.choice(choices), facts, chance))
            end = slot.end()
        return "".join([*parts, text[end:]])
