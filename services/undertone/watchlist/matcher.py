"""Which subjects a message is about, in one Aho–Corasick pass (design §5).

A term's edge that is a word character must not touch another one: `LEH` is not in `LEHX`, but is in
`$LEH`, `LEH's` and `LEH-led`. Scripts without spaces (Chinese, Japanese, Korean, Thai, …) have no
such edges. Of one subject's overlapping terms, the longest counts.

Relevance, 0..1, says how much of the message is about the subject:

    0.4 · place      1 when first named in the title (or its like: the first 120 characters),
                     falling in a line to 0 at the text's end
  + 0.3 · frequency  times named ÷ times expected (once, and once more every 600 characters), ≤ 1
  + 0.3 · share      times named ÷ times that any subject is named

A headline that names one subject alone has relevance 1, and so has a subject that matches
everything; one that is tagged and not named has 0.5: the producer's word, no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import ahocorasick

from undertone.field_mapping import subject_id
from undertone.watchlist.folding import FoldedText, fold, is_word, normalised
from undertone.watchlist.subjects import Subject, Term, Watchlist

TITLE_LENGTH = 120
CHARACTERS_PER_MENTION = 600
PLACE_WEIGHT, FREQUENCY_WEIGHT, SHARE_WEIGHT = 0.4, 0.3, 0.3
TAGGED_RELEVANCE = 0.5

Span = tuple[int, int]

# Stands in an entry for all subjects: a term of the watchlist's own `exclude`.
EVERY = -1


class _Role(IntEnum):
    """What an occurrence of a term means for its subject."""

    NAMES = 0
    REQUIRED = 1
    EXCLUDES = 2


@dataclass(frozen=True, slots=True)
class _Entry:
    """One use of a term: the automaton's value is a tuple of these."""

    subject: int
    role: _Role
    exact: str | None  # the text that a case-sensitive term must have


@dataclass(frozen=True, slots=True)
class _Key:
    """All uses of one folded term, and which of its edges need a boundary."""

    length: int
    bound_left: bool
    bound_right: bool
    entries: tuple[_Entry, ...]


@dataclass(slots=True)
class _Found:
    """What the text says about one subject."""

    spans: list[Span] = field(default_factory=list)
    required: bool = False
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class SubjectMatch:
    """A message is about a subject.

    `target` is the name under which the classifier reads it: its first mention as written, or the
    subject's name where the text does not name it. `spans` are half-open, ordered, and count in
    the characters of `joined_text(title, text)`. `tagged`: the producer said so.
    """

    subject_id: str
    target: str
    spans: tuple[Span, ...]
    relevance: float
    tagged: bool


def joined_text(title: str | None, text: str) -> str:
    """Title and text as one, a blank line between them; a title that opens the text counts once."""
    title = (title or "").strip()
    if not title or text.lstrip().startswith(title):
        return text
    return f"{title}\n\n{text}" if text.strip() else title


class Matcher:
    """Finds the subjects of a watchlist in messages. Built once, without state, safe in threads."""

    def __init__(self, watchlist: Watchlist) -> None:
        self._subjects = sorted(watchlist.subjects, key=lambda subject: subject.id)
        self._index = {subject.id: index for index, subject in enumerate(self._subjects)}
        self._names = {subject.name.casefold(): i for i, subject in enumerate(self._subjects)}
        self._needs = [bool(subject.require_any) for subject in self._subjects]
        self._match_all = [i for i, subject in enumerate(self._subjects) if subject.match_all]
        self._automaton = _automaton(self._subjects, watchlist.exclude)

    def match(self, text: str, title: str | None, tags: Sequence[str]) -> list[SubjectMatch]:
        """The subjects of one message, by id.

        A tag stands for a subject's context (`require_any`), as it is unambiguous; an excluded
        term rules the subject out whoever says it, tags and `match_all` included.
        """
        joined = joined_text(title, text)
        found = self._find(fold(joined)) if self._automaton is not None else {}
        if EVERY in found:
            return []
        tagged = {index for tag in tags if (index := self._tag_index(tag)) is not None}
        spans: dict[int, tuple[Span, ...]] = dict.fromkeys((*tagged, *self._match_all), ())
        for index, state in found.items():
            if state.excluded:
                spans.pop(index, None)
            elif state.spans and (state.required or index in spans or not self._needs[index]):
                spans[index] = _longest(state.spans)
        named_total = sum(map(len, spans.values()))
        title_end = _title_end(title, joined)
        return [
            self._subject_match(
                index,
                joined,
                spans[index],
                relevance=_relevance(spans[index], named_total, len(joined), title_end),
                tagged=index in tagged,
            )
            for index in sorted(spans)
        ]

    def unknown_tags(self, tags: Iterable[str]) -> int:
        """How many of a message's tags stand for no subject of the watchlist."""
        return sum(self._tag_index(tag) is None for tag in tags)

    def _tag_index(self, tag: str) -> int | None:
        index = self._index.get(tag)
        if index is None:
            index = self._names.get(tag.casefold())
        return index if index is not None else self._index.get(subject_id(tag))

    def _find(self, folded: FoldedText) -> Mapping[int, _Found]:
        """Every occurrence of every term, as what it means for its subject."""
        found: dict[int, _Found] = defaultdict(_Found)
        key: _Key
        for last, key in self._automaton.iter(folded.folded):
            span = folded.span(last + 1 - key.length, last + 1)
            if span is None or not _stands_alone(folded.text, span, key):
                continue
            for entry in key.entries:
                if entry.exact is not None and normalised(folded.text[slice(*span)]) != entry.exact:
                    continue
                state = found[entry.subject]
                if entry.role is _Role.NAMES:
                    state.spans.append(span)
                elif entry.role is _Role.REQUIRED:
                    state.required = True
                else:
                    state.excluded = True
        return found

    def _subject_match(
        self, index: int, joined: str, spans: tuple[Span, ...], *, relevance: float, tagged: bool
    ) -> SubjectMatch:
        subject = self._subjects[index]
        if subject.match_all:
            return SubjectMatch(subject.id, subject.name, spans, 1.0, tagged)
        target = joined[slice(*spans[0])] if spans else subject.name
        return SubjectMatch(subject.id, target, spans, relevance, tagged)


def _automaton(subjects: Sequence[Subject], exclude: Sequence[Term]) -> Any:
    """The automaton over all folded terms of all subjects; None where there are none."""
    uses_of_terms = [(EVERY, _Role.EXCLUDES, exclude)]
    for index, subject in enumerate(subjects):
        uses_of_terms += [
            (index, _Role.NAMES, subject.terms),
            (index, _Role.REQUIRED, subject.require_any),
            (index, _Role.EXCLUDES, subject.exclude),
        ]
    entries: dict[str, list[_Entry]] = defaultdict(list)
    for index, role, terms in uses_of_terms:
        for term in terms:
            exact = normalised(term.text) if term.case_sensitive else None
            entries[fold(term.text).folded].append(_Entry(index, role, exact))
    if not entries:
        return None
    automaton = ahocorasick.Automaton()
    for folded, uses in entries.items():
        key = _Key(len(folded), is_word(folded[0]), is_word(folded[-1]), tuple(uses))
        automaton.add_word(folded, key)
    automaton.make_automaton()
    return automaton


def _stands_alone(text: str, span: Span, key: _Key) -> bool:
    start, end = span
    if key.bound_left and start > 0 and is_word(text[start - 1]):
        return False
    return not (key.bound_right and end < len(text) and is_word(text[end]))


def _longest(spans: list[Span]) -> tuple[Span, ...]:
    """The spans without those that overlap a longer one (or an earlier one as long), in order."""
    if len(spans) == 1:
        return (spans[0],)
    kept: list[Span] = []
    reached = -1
    # Overlaps of two different terms are rare: most are a term within a longer one.
    for start, end in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if start >= reached:
            kept.append((start, end))
            reached = end
        elif end - start > kept[-1][1] - kept[-1][0]:
            kept[-1] = (start, end)
            reached = end
    return tuple(kept)


def _title_end(title: str | None, joined: str) -> int:
    title = (title or "").strip()
    return max(len(title), TITLE_LENGTH) if title else min(len(joined), TITLE_LENGTH)


def _relevance(spans: tuple[Span, ...], named_total: int, length: int, title_end: int) -> float:
    """The formula at the top of this file, to 3 decimals."""
    if not spans:
        return TAGGED_RELEVANCE
    first = spans[0][0]
    place = 1.0 if first < title_end else (length - first) / max(1, length - title_end)
    frequency = min(1.0, len(spans) / (1 + length // CHARACTERS_PER_MENTION))
    share = len(spans) / named_total
    return round(PLACE_WEIGHT * place + FREQUENCY_WEIGHT * frequency + SHARE_WEIGHT * share, 3)
