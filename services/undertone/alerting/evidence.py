"""The messages that prove an alert."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from undertone.records import Evidence

EVIDENCE_LIMIT = 5
CANDIDATES_PER_HOUR = 8

Candidate = tuple[float, Evidence]


def weight(p_negative: float | None, relevance: float) -> float:
    """How strongly a story speaks: the more negative and the more about the subject."""
    return (p_negative or 0.0) * relevance


def is_wanted(candidates: list[Candidate], weight: float, published_at: int) -> bool:
    """Whether a story may be among the best of an hour, before its evidence is made.

    `candidates` are the best so far, as `offer` keeps them.
    """
    if len(candidates) < CANDIDATES_PER_HOUR:
        return True
    last_weight, last = candidates[-1]
    return (-weight, published_at) <= (-last_weight, last.published_at)


def offer(candidates: list[Candidate], weight: float, evidence: Evidence) -> None:
    """Put a story into its place among the best of an hour, and let the least go."""
    insort(candidates, (weight, evidence), key=_order)
    del candidates[CANDIDATES_PER_HOUR:]


def choose(candidates: Iterable[Candidate], limit: int) -> list[Candidate]:
    """The weightiest candidates, the earlier of equals first."""
    return sorted(candidates, key=_order)[:limit]


def _order(candidate: Candidate) -> tuple[float, int, str]:
    return -candidate[0], candidate[1].published_at, candidate[1].message_id
