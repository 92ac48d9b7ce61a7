"""How far a raw partition is complete (design §4.1): all that arrived before T has been scored."""

from __future__ import annotations

from collections import deque
from typing import Literal

LIVE_SKEW_MS = 2_000
CLAIM_LIMIT = 600


class Watermark:
    """`complete_until` of one raw partition; it never goes back.

    Recorded: the greatest stamp of what is done. Live: a clock reading, less the skew, that was
    taken *before* the partition's end offset was asked for, once everything below that end is
    done; so it holds whoever publishes it and however late.
    """

    def __init__(self, clock: Literal["live", "recorded"]) -> None:
        self._clock = clock
        self._claims: deque[tuple[int, int]] = deque()
        self.complete_until: int | None = None

    def claim(self, asked_at_ms: int, end_offset: int) -> None:
        """The partition ended at `end_offset` some time after `asked_at_ms`."""
        if self._clock == "live" and len(self._claims) < CLAIM_LIMIT:
            self._claims.append((end_offset, asked_at_ms - LIVE_SKEW_MS))

    def settle(self, next_offset: int, greatest_ms: int | None) -> bool:
        """Everything below `next_offset` is done; returns whether `complete_until` advanced."""
        reached = greatest_ms if self._clock == "recorded" else None
        while self._claims and self._claims[0][0] <= next_offset:
            reached = self._claims.popleft()[1]
        if reached is None or (self.complete_until is not None and reached <= self.complete_until):
            return False
        self.complete_until = reached
        return True
