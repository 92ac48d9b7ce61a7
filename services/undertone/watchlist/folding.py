"""Text folded for matching, with each character's place in the text as given.

Folding is Unicode case folding over NFKC (so that full-width and composed forms meet), with all
spaces, apostrophes and hyphens made alike. It may lengthen or shorten a text (`ß`, `İ`, `ﬁ`, a
letter with a separate accent), so offsets are carried along and always point into the original.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# One character for one, so that offsets do not move: kinds of space, apostrophe and hyphen.
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\t\n\v\f\r\u00a0\u1680\u2007\u2028\u2029\u202f\u205f\u3000", " "),
        **{chr(code): " " for code in range(0x2000, 0x200B)},
        **dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\uff0d", "-"),
    }
)

# Scripts that put no space between words; a term of theirs needs no boundary.
_UNSPACED = re.compile(
    "[\u1100-\u11ff\u3005\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U0001b000-\U0001b16f"
    "\U00020000-\U000323af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)


# ASCII characters that no accent follows.
_ASCII_RUN = re.compile(r"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)")
# Putting n accents in order takes n² steps: beyond any that are real, they are read apart.
ACCENTS_LIMIT = 32


@dataclass(frozen=True, slots=True)
class FoldedText:
    """`folded[i]` comes from `text[starts[i]:ends[i]]`; no lists where they are one to one."""

    text: str
    folded: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """A range of `folded` as a range of `text`; None where it cuts a character in two."""
        if self.starts is None or self.ends is None:
            return start, end
        starts, ends = self.starts, self.ends
        if start > 0 and starts[start] == starts[start - 1]:
            return None
        if end < len(ends) and ends[end] == ends[end - 1]:
            return None
        return starts[start], ends[end - 1]


def fold(text: str) -> FoldedText:
    """Fold a text. Linear in its length; ASCII and most other text take the short way."""
    if text.isascii():
        return FoldedText(text, text.lower().translate(_ALIKE))
    if unicodedata.is_normalized("NFKC", text):
        folded = text.casefold()
        if len(folded) == len(text):  # no character folds to none, so each folded to one
            return FoldedText(text, folded.translate(_ALIKE))
    return _fold_by_character(text)


def normalised(text: str) -> str:
    """The text as `fold` sees it, but with its capitals: to verify case-sensitive terms."""
    return unicodedata.normalize("NFKC", text).translate(_ALIKE)


def is_word(character: str) -> bool:
    """Whether it is part of a word of a spaced script: a letter, digit, underscore or accent."""
    if character.isascii():
        return character.isalnum() or character == "_"
    if _UNSPACED.match(character):
        return False
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _fold_by_character(text: str) -> FoldedText:
    """Fold each character together with the accents that follow it; runs of ASCII as a whole."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    start = 0
    while start < len(text):
        if run := _ASCII_RUN.match(text, start):
            end = run.end()
            pieces.append(run[0].lower().translate(_ALIKE))
            starts += range(start, end)
            ends += range(start + 1, end + 1)
        else:
            end = _end_of_accents(text, start)
            piece = unicodedata.normalize("NFKC", text[start:end]).casefold().translate(_ALIKE)
            pieces.append(piece)
            starts += [start] * len(piece)
            ends += [end] * len(piece)
        start = end
    return FoldedText(text, "".join(pieces), starts, ends)


def _end_of_accents(text: str, start: int) -> int:
    end = start + 1
    while end < min(len(text), start + ACCENTS_LIMIT) and unicodedata.combining(text[end]):
        end += 1
    return end
