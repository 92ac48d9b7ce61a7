"""The messages that prove an alert."""

from __future__ import annotations

from collections.abc import Iterable

from undertone.records import Evidence

EVIDENCE_LIMIT = 5
CANDIDATES_PER_HOUR = 8


def weight(p_negative: float | None, relevance: float) -> float:
    """How strongly a story speaks: the more negative and the more about the subject."""
    return (p_negative or 0.0) * relevance


def choose(
    candidates: Iterable[tuple[float, Evidence]], limit: int
) -> list[tuple[float, Evidence]]:
    """The weightiest candidates, the earlier of equals first."""
    return sorted(
        candidates, key=lambda item: (-item[0], item[1].published_at, item[1].message_id)
    )[:limit]
