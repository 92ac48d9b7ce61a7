"""Dead letters: records that could not be read, or that broke a stage, kept with the error."""

from __future__ import annotations

import base64
from typing import Literal

from undertone.records import DeadLetter

# Base64 adds a third, and a broker takes records of 1 MiB: a longer value keeps its beginning.
# The whole record still stands at its topic, partition and offset.
KEPT_BYTES = 600_000
ERROR_LIMIT = 2_000


def dead_letter(
    value: bytes | None,
    topic: str,
    partition: int,
    offset: int,
    error: str | Exception,
    stage: Literal["decode", "match", "score", "watch"],
    at_ms: int,
) -> DeadLetter:
    """The dead letter of one record, with the error in one short text."""
    value = value or b""
    text = str(error)[:ERROR_LIMIT]
    if len(value) > KEPT_BYTES:
        text += f" (only the first {KEPT_BYTES} of {len(value)} bytes are kept here)"
    return DeadLetter(
        raw=base64.b64encode(value[:KEPT_BYTES]).decode(),
        topic=topic,
        partition=partition,
        offset=offset,
        error=text,
        stage=stage,
        at=at_ms,
    )


def is_cut(letter: DeadLetter) -> bool:
    """Whether a letter holds only the beginning of its record."""
    return letter.error.endswith("bytes are kept here)")
