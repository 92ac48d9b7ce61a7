"""The messages that prove an alert."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from undertone.records import Evidence, Instant, Tipping

EVIDENCE_LIMIT = 5
CANDIDATES_PER_HOUR = 8
# Weights this close are equals, of which the earlier is shown: who reads an alert asks what came
# first, and a classifier's third digit says nothing.
EQUAL_WEIGHTS = 0.05

Candidate = tuple[float, Evidence]


class TippingStory(BaseModel):
    """A story that may tip a rule, with all that an alert will tell of it."""

    model_config = ConfigDict(frozen=True)
    ingested_at: Instant
    evidence: Evidence

    @property
    def tipping(self) -> Tipping:
        """What an alert calls its tipping message."""
        return Tipping(
            message_id=self.evidence.message_id,
            ingested_at=self.ingested_at,
            raw=self.evidence.raw,
        )


def weight(p_negative: float | None, relevance: float) -> float:
    """How strongly a story speaks: the more negative and the more about the subject."""
    return (p_negative or 0.0) * relevance


def is_wanted(candidates: list[Candidate], weight: float, published_at: int) -> bool:
    """Whether a story may be among the best of an hour, before its evidence is made.

    `candidates` are the best so far, as `offer` keeps them.
    """
    if len(candidates) < CANDIDATES_PER_HOUR:
        return True
    return _order(weight, published_at) <= _place(candidates[-1])[:2]


def offer(candidates: list[Candidate], weight: float, evidence: Evidence) -> None:
    """Put a story into its place among the best of an hour, and let the least go."""
    insort(candidates, (weight, evidence), key=_place)
    del candidates[CANDIDATES_PER_HOUR:]


def forget_outdone(hours: Iterable[tuple[int, list[Candidate]]]) -> list[int]:
    """Drop what no alert will choose any more from the best of each hour, the latest hour first.

    Whatever window holds a story holds all hours after its own: where these have enough weightier
    ones, it is chosen never again. Returns the numbers of the hours that have changed.
    """
    weightiest: list[tuple[int, int, str]] = []
    changed = []
    for number, candidates in hours:
        places = [_place(each) for each in candidates]
        if len(weightiest) == EVIDENCE_LIMIT:
            kept = bisect_right(places, weightiest[-1])
            if kept < len(candidates):
                del candidates[kept:], places[kept:]
                changed.append(number)
        weightiest = sorted(weightiest + places)[:EVIDENCE_LIMIT]
    return changed


def choose(
    candidates: Iterable[Candidate], tipping: Evidence, limit: int = EVIDENCE_LIMIT
) -> tuple[Evidence, ...]:
    """The weightiest stories, the earlier of equals first; the tipping one is always among them.

    A tipping story that is not among the weightiest comes last, in the place of one of them.
    """
    best = [evidence for _weight, evidence in sorted(candidates, key=_place)[:limit]]
    if all(evidence.message_id != tipping.message_id for evidence in best):
        best[limit - 1 :] = [tipping]
    return tuple(best)


def _order(weight: float, published_at: int) -> tuple[int, int]:
    return -round(weight / EQUAL_WEIGHTS), published_at


def _place(candidate: Candidate) -> tuple[int, int, str]:
    weight, evidence = candidate
    return *_order(weight, evidence.published_at), evidence.message_id
