"""Which part of a text the model reads about a subject, and which part people see.

A model reads a bounded number of tokens, so of a long text it reads the whole sentences around a
mention of the subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import sentencex

from undertone.records import EXCERPT_LIMIT

WINDOW_LIMIT = 3
# Word pieces of common English are about four and a half characters long; six to a piece errs
# on the side of too few, and one to a CJK character is exact.
PIECE_LENGTH = 6
_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af"
_PIECE = re.compile(rf"[{_CJK}]|[^\W{_CJK}]{{1,{PIECE_LENGTH}}}|[^\w\s]")
# How far from where a text is cut a space may lie, to be cut at instead. Scripts without spaces
# between words may have one here and there, and what stands before it is not to be lost.
WORD_LENGTH = 24

Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A part of a text to read, and how much its score weighs among the windows of one mention."""

    text: str
    weight: float


def estimated_tokens(text: str) -> int:
    """About how many tokens a model makes of a text; the tokeniser itself truncates exactly."""
    return sum(1 for _ in _PIECE.finditer(text))


def windows_around(text: str, spans: Sequence[Span], token_limit: int) -> tuple[Window, ...]:
    """Up to three windows of whole sentences around the mentions at `spans`, first the first.

    A text that fits into `token_limit` is one window. Without spans (the text does not name the
    subject) it is read from its start. Later windows weigh less: 1, 1/2, 1/3, times the number
    of mentions inside.
    """
    if len(text) <= token_limit or estimated_tokens(text) <= token_limit:
        return (Window(text.strip(), 1.0),)
    sentences = _sentences(text)
    sizes = [estimated_tokens(text[start:end]) for start, end in sentences]
    windows: list[Window] = []
    read_until = -1
    for start, _end in sorted(spans) or [(0, 0)]:
        if start < read_until:
            continue
        anchor = next(
            (i for i, (_, sentence_end) in enumerate(sentences) if start < sentence_end), 0
        )
        window = _grown(sizes, anchor, token_limit)
        begin, end = sentences[window.start][0], sentences[window.stop - 1][1]
        if len(window) == 1 and sizes[anchor] > token_limit:
            begin, end = _cut(text, sentences[anchor], start, token_limit)
        inside = sum(1 for at, _ in spans if begin <= at < end) or 1
        windows.append(Window(text[begin:end].strip(), inside / (len(windows) + 1)))
        read_until = end
        if len(windows) == WINDOW_LIMIT:
            break
    return tuple(windows)


def _sentences(text: str) -> list[Span]:
    """Sentences as spans that cover the text without gaps (library: sentencex)."""
    spans: list[Span] = []
    # What ends a sentence in other scripts (。！？…) is known to the English rules too; a language
    # of its own would add its abbreviations, and for some take the English ones away.
    at = 0
    for sentence in sentencex.segment("en", text):
        found = text.find(sentence, at)
        end = (found if found >= 0 else at) + len(sentence)
        if end > at:
            spans.append((at, min(end, len(text))))
            at = end
    if at < len(text):
        spans.append((at, len(text)))
    return spans


def _grown(sizes: Sequence[int], anchor: int, token_limit: int) -> range:
    """The sentences around `anchor` that fit, taken in turn after it and before it."""
    first, last, used = anchor, anchor, sizes[anchor]
    grew = True
    while grew:
        grew = False
        if last + 1 < len(sizes) and used + sizes[last + 1] <= token_limit:
            last += 1
            used += sizes[last]
            grew = True
        if first > 0 and used + sizes[first - 1] <= token_limit:
            first -= 1
            used += sizes[first]
            grew = True
    return range(first, last + 1)


def _cut(text: str, sentence: Span, at: int, token_limit: int) -> Span:
    """A piece of an endless sentence: from a third of the limit before `at`, at word borders."""
    reach = token_limit * (PIECE_LENGTH + 1)  # characters that surely hold so many pieces of words
    earliest, latest = max(sentence[0], at - reach), min(sentence[1], at + reach)
    before = [piece.start() for piece in _PIECE.finditer(text, earliest, at)][-(token_limit // 3) :]
    pieces = _PIECE.finditer(text, at, latest)
    after = [piece.end() for piece in islice(pieces, token_limit - len(before))]
    begin = before[0] if before else at
    return _word_start(text, begin, at), after[-1] if after else latest


def _word_start(text: str, begin: int, latest: int) -> int:
    """`begin`, or where a word begins shortly after it, not after `latest`."""
    if begin == 0 or text[begin - 1].isspace():
        return begin
    space = text.find(" ", begin, min(begin + WORD_LENGTH, latest))
    return space + 1 if space >= 0 else begin


def excerpt(text: str, spans: Sequence[Span]) -> str:
    """At most 280 characters around the first mention, on one line, `…` where text was cut."""
    first = min(spans)[0] if spans else 0
    if len(text) > EXCERPT_LIMIT:
        begin = max(0, min(first - EXCERPT_LIMIT // 3, len(text) - EXCERPT_LIMIT))
        begin = _word_start(text, begin, first)
        piece = text[begin : begin + EXCERPT_LIMIT + 1]
        line = " ".join(piece.split())
        line = f"…{line}" if begin > 0 else line
        if begin + len(piece) < len(text) or len(line) > EXCERPT_LIMIT:
            line = line[: EXCERPT_LIMIT - 1]
            space = line.rfind(" ", len(line) - WORD_LENGTH)
            line = (line[:space] if space >= 0 else line) + "…"
        return line[:EXCERPT_LIMIT]
    return " ".join(text.split())
