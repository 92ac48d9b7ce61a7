"""What a server's answer means for a feed: its messages, what to remember, when to ask again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from pydantic import BaseModel, ConfigDict

from undertone.errors import FeedError
from undertone.ingest.feeds import Document, Feed, read_feed
from undertone.records import RawMessage

BACKOFF_LIMIT_MS = 6 * 3_600_000
# A server may ask for more patience than this; a slip of its pen is not to silence a feed.
RETRY_AFTER_LIMIT_MS = 86_400_000
VALIDATOR_LIMIT = 1_024

OK, NOT_MODIFIED, GONE = 200, 304, 410


class FeedState(BaseModel):
    """What is remembered of a feed: its validators, failures in a row, ids sent (the latest last).

    It is not asked before `not_before_ms`.
    """

    model_config = ConfigDict(frozen=True)

    etag: str | None = None
    modified: str | None = None
    failures: int = 0
    not_before_ms: int = 0
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer: status, headers (lower case), and the document where it gave one."""

    status: int
    headers: Mapping[str, str]
    document: Document


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one poll; `fault` says why it failed. `state` holds once all is written."""

    state: FeedState
    messages: tuple[RawMessage, ...] = ()
    skipped: int = 0
    fault: str | None = None
    is_gone: bool = False


def outcome_of(
    feed: Feed, state: FeedState, answer: Answer | FeedError, *, now_ms: int, every_ms: int
) -> Outcome:
    """What an answer, or its absence, means. Nothing that a server may say raises."""
    if isinstance(answer, FeedError):
        return _failed(state, answer.message, now_ms, every_ms)
    if answer.status == NOT_MODIFIED:
        return Outcome(state.model_copy(update={"failures": 0, "not_before_ms": 0}))
    if answer.status == GONE:
        return Outcome(state, fault="the server says that it is gone for good", is_gone=True)
    if answer.status != OK:
        patience_ms = retry_after_ms(answer.headers.get("retry-after"), now_ms)
        fault = f"the server answers {answer.status}"
        return _failed(state, fault, now_ms, every_ms, patience_ms)
    try:
        reading = read_feed(answer.document, feed, state.seen, now_ms)
    except FeedError as error:
        return _failed(state, error.message, now_ms, every_ms)
    read = FeedState(
        etag=_validator(answer.headers.get("etag")),
        modified=_validator(answer.headers.get("last-modified")),
        seen=reading.seen,
    )
    return Outcome(read, reading.messages, reading.skipped)


def _failed(
    state: FeedState, fault: str, now_ms: int, every_ms: int, patience_ms: int | None = None
) -> Outcome:
    """Twice the wait after each failure in a row, and never less than the server asks for."""
    failures = state.failures + 1
    wait_ms = max(every_ms, min(every_ms << min(failures, 30), BACKOFF_LIMIT_MS))
    if patience_ms is not None:
        wait_ms = max(wait_ms, patience_ms)
    update = {"failures": failures, "not_before_ms": now_ms + wait_ms}
    return Outcome(state.model_copy(update=update), fault=fault)


def retry_after_ms(value: str | None, now_ms: int) -> int | None:
    """How long a Retry-After header asks for, a day at most (RFC 9110, 10.2.3: seconds or a date).

    None where there is none that can be read.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return min(int(value[:10]) * 1000, RETRY_AFTER_LIMIT_MS)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait_ms = round(moment.timestamp() * 1000) - now_ms
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(0, wait_ms), RETRY_AFTER_LIMIT_MS)


def _validator(value: str | None) -> str | None:
    """A validator that can be sent back as it is."""
    fits = value is not None and len(value) <= VALIDATOR_LIMIT and value.isascii()
    return value if fits else None
