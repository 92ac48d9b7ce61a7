"""The pure core of scoring: a raw record → what to read of it → mentions (design §3, §5).

    decode → match subjects → (text, target) pairs → scores → mentions

Reads no clock, no network, no global: the service brings records, times and scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import xxhash

from undertone.errors import RecordError
from undertone.field_mapping import mapping_for
from undertone.records import Mention, MentionStatus, RawMessage, RawPosition, trusted
from undertone.scoring.fingerprint import fingerprint
from undertone.scoring.routing import LanguageRouter
from undertone.scoring.windows import excerpt, windows_around
from undertone.settings import DEFAULT_MODEL, FieldMapping, RawTopic
from undertone.transport.codec import decode_raw, tick_instant
from undertone.watchlist.matcher import Matcher, SubjectMatch, joined_text
from undertone_models.answers import Scores
from undertone_models.classifier import Pair

# What the target and the special tokens take of the model's limit.
RESERVED_TOKENS = 16


class RawRecord(NamedTuple):
    """One record of a raw topic, as the consumer delivers it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def stamp_ms(self) -> int:
        """The record's place in time: a tick's own, else the Kafka timestamp."""
        instant = None if self.value is not None else tick_instant(self.headers)
        return self.timestamp_ms if instant is None else instant

    @property
    def size_bytes(self) -> int:
        """About what the record holds in memory."""
        return 200 + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Tick:
    """A record that only says how far recorded time has come."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record for the dead letters."""

    error: str
    stage: Literal["decode", "match", "score"]


@dataclass(frozen=True, slots=True)
class Draft:
    """One mention before it is scored: what to read, each part with its weight."""

    subject: str
    target: str
    relevance: float
    excerpt: str
    parts: tuple[tuple[Pair, float], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A readable message and the subjects that it is about; without drafts it matched none.

    `route` names the model that is to read it: `default`, or a language.
    """

    message: RawMessage
    drafts: tuple[Draft, ...]
    ignored_tags: int
    text_hash: str
    fingerprint: str
    route: str = DEFAULT_MODEL

    @property
    def pairs(self) -> list[Pair]:
        """What the classifier must read, each pair once."""
        return list(dict.fromkeys(pair for draft in self.drafts for pair, _ in draft.parts))


class Reader:
    """Decodes raw records and matches them against a watchlist."""

    def __init__(
        self,
        matcher: Matcher,
        topics: Sequence[RawTopic],
        fields: Mapping[str, Mapping[str, FieldMapping]],
        max_tokens: int,
        router: LanguageRouter | None = None,
    ) -> None:
        """Without `router` the default model reads everything."""
        self._matcher, self._router = matcher, router or LanguageRouter()
        self._kinds = {topic.name: topic.kind for topic in topics}
        self._mappings = {topic.name: mapping_for(topic.name, fields) for topic in topics}
        self._token_limit = max_tokens - RESERVED_TOKENS if max_tokens > 32 else max_tokens

    def take_up(self, matcher: Matcher) -> None:
        """Match by another watchlist from the next record on. May be called from any thread."""
        self._matcher = matcher

    def read(self, record: RawRecord) -> Tick | Rejected | Reading:
        """What one record is. A record that breaks a stage is Rejected, whatever it holds."""
        if record.value is None and tick_instant(record.headers) is not None:
            return Tick()
        try:
            message = decode_raw(
                record.value,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                mapping=self._mappings[record.topic],
                kind=self._kinds[record.topic],
            )
        except RecordError as error:
            return Rejected(str(error), "decode")
        try:
            return self._reading(message)
        except MemoryError:
            raise
        except Exception as error:
            return Rejected(f"{type(error).__name__}: {error}", "match")

    def _reading(self, message: RawMessage) -> Reading:
        text = joined_text(message.title, message.text)
        matcher = self._matcher  # the same for all of this message
        matches = matcher.match(message.text, message.title, message.subjects)
        ignored = matcher.unknown_tags(message.subjects) if message.subjects else 0
        if not matches:
            return Reading(message, (), ignored, "", "")
        return Reading(
            message,
            tuple(self._draft(text, match) for match in matches),
            ignored,
            xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass")),
            fingerprint(text),
            self._router.route(message, text),
        )

    def _draft(self, text: str, match: SubjectMatch) -> Draft:
        windows = windows_around(text, match.spans, self._token_limit)
        return Draft(
            match.subject_id,
            match.target,
            match.relevance,
            excerpt(text, match.spans),
            tuple((Pair(window.text, match.target), window.weight) for window in windows),
        )


def mentions_of(
    reading: Reading,
    position: RawPosition,
    scores: Mapping[Pair, Scores | None],
    *,
    ingested_at: int,
    scored_at: int,
    model: str,
) -> list[Mention]:
    """The mentions of one message, in the order of its subjects.

    `scores` holds every pair of the reading, None where the classifier failed. A mention whose
    parts all failed is unscored; parts that failed among others are left out of the mean.
    """
    message = reading.message
    mentions = []
    for draft in reading.drafts:
        probabilities = weighted_mean([(scores[pair], weight) for pair, weight in draft.parts])
        negative, neutral, positive = probabilities or (None, None, None)
        mentions.append(
            trusted(
                Mention,
                message_id=message.id or f"{position.topic}-{position.partition}-{position.offset}",
                subject=draft.subject,
                target=draft.target,
                published_at=message.published_at,
                ingested_at=ingested_at,
                source=message.source,
                kind=message.kind,
                url=message.url,
                author=message.author,
                audience=message.audience,
                excerpt=draft.excerpt,
                text_hash=reading.text_hash,
                relevance=draft.relevance,
                fingerprint=reading.fingerprint,
                p_negative=negative,
                p_neutral=neutral,
                p_positive=positive,
                status=MentionStatus.SCORED if probabilities else MentionStatus.UNSCORED,
                model=model,
                raw=position,
                scored_at=scored_at,
            )
        )
    return mentions


def weighted_mean(parts: Sequence[tuple[Scores | None, float]]) -> Scores | None:
    """The mean of the parts that were read, in thousandths that sum to one; None without any."""
    if len(parts) == 1 and parts[0][1] == 1.0:  # nearly always; to the bit what follows would give
        scores = parts[0][0]
        return None if scores is None else in_thousandths(scores)
    read = [(scores, weight) for scores, weight in parts if scores is not None]
    total = math.fsum(weight for _, weight in read)
    if total <= 0:
        return None
    negative, neutral, positive = (
        math.fsum(scores[column] * weight for scores, weight in read) / total for column in range(3)
    )
    return in_thousandths((negative, neutral, positive))


def in_thousandths(scores: Scores) -> Scores:
    """Probabilities rounded to 3 decimals whose sum stays one (largest remainders)."""
    total = math.fsum(scores)
    exact = [1000 * score / total for score in scores]
    floors = [math.floor(value) for value in exact]
    by_remainder = sorted(range(3), key=lambda i: (floors[i] - exact[i], i))
    for index in by_remainder[: 1000 - sum(floors)]:
        floors[index] += 1
    return floors[0] / 1000, floors[1] / 1000, floors[2] / 1000
