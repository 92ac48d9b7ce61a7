"""What a server's answer means for a feed: when it is asked again, and what is remembered."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import FeedError
from undertone.ingest.feed_schedule import (
    BACKOFF_LIMIT_MS,
    RETRY_AFTER_LIMIT_MS,
    Answer,
    FeedState,
    Outcome,
    outcome_of,
    retry_after_ms,
)
from undertone.ingest.feeds import Document, Feed

NOW_MS = 1_800_000_000_000
EVERY_MS = 300_000
FEED = Feed("http://wire.test/feed")
BODY = b'<rss version="2.0"><channel><item><guid>1</guid><title>x</title></item></channel></rss>'
READ = FeedState(etag='"1"', modified="then", failures=2, not_before_ms=5, seen=("feed-1",))


def after(
    state: FeedState, status: int = 200, body: bytes = BODY, fault: str = "", **headers: str
) -> Outcome:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = FeedError(fault) if fault else Answer(status, told, Document(body))
    return outcome_of(FEED, state, answer, now_ms=NOW_MS, every_ms=EVERY_MS)


def test_a_document_brings_messages_and_validators_and_forgives_failures() -> None:
    outcome = after(READ, etag='W/"2"', last_modified="now")
    assert [message.title for message in outcome.messages] == ["x"]
    assert (outcome.state.etag, outcome.state.modified) == ('W/"2"', "now")
    assert (outcome.state.failures, outcome.state.not_before_ms) == (0, 0)
    assert after(outcome.state).messages == ()


def test_what_has_not_changed_keeps_everything_and_forgives_failures() -> None:
    outcome = after(READ, 304)
    assert outcome == Outcome(READ.model_copy(update={"failures": 0, "not_before_ms": 0}))


def test_a_feed_that_is_gone_is_not_to_be_asked_again() -> None:
    assert after(READ, 410).is_gone


@pytest.mark.parametrize(
    "outcome", [after(READ, 404), after(READ, fault="no"), after(READ, body=b"x")]
)
def test_a_failure_loses_nothing_that_is_remembered(outcome: Outcome) -> None:
    kept = outcome.state.model_dump(include={"etag", "modified", "seen"})
    assert kept == READ.model_dump(include={"etag", "modified", "seen"})
    assert outcome.fault and not outcome.messages and not outcome.is_gone
    assert outcome.state.failures == 3


def test_the_wait_doubles_with_each_failure_up_to_a_limit() -> None:
    state, waits = FeedState(), []
    for _ in range(12):
        state = after(state, 500).state
        waits.append(state.not_before_ms - NOW_MS)
    assert waits[:3] == [2 * EVERY_MS, 4 * EVERY_MS, 8 * EVERY_MS]
    assert waits[-1] == BACKOFF_LIMIT_MS


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_patience_gets_it(status: int) -> None:
    assert after(FeedState(), status, retry_after="7200").state.not_before_ms == NOW_MS + 7_200_000
    assert after(FeedState(), status, retry_after="1").state.not_before_ms == NOW_MS + 2 * EVERY_MS


@pytest.mark.parametrize(
    ("value", "expected_ms"),
    [
        ("120", 120_000),
        (" 0 ", 0),
        ("9" * 400, RETRY_AFTER_LIMIT_MS),
        (formatdate(NOW_MS / 1000 + 60, usegmt=True), 60_000),
        (formatdate(NOW_MS / 1000 - 60, usegmt=True), 0),
        ("soon", None),
        ("-1", None),
        ("١٢", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected_ms: int | None) -> None:
    assert retry_after_ms(value, NOW_MS) == expected_ms


@given(st.text(max_size=40), st.integers(100, 599), st.text(max_size=40))
def test_nothing_that_a_server_says_raises_or_delays_for_ever(
    retry: str, status: int, etag: str
) -> None:
    outcome = after(READ, status, retry_after=retry, etag=etag)
    assert outcome.state.not_before_ms <= NOW_MS + RETRY_AFTER_LIMIT_MS


def test_a_validator_that_cannot_be_sent_back_is_not_kept() -> None:
    outcome = after(READ, etag="é", last_modified="x" * 2_000)
    assert (outcome.state.etag, outcome.state.modified) == (None, None)


def test_the_state_survives_its_own_json() -> None:
    assert FeedState.model_validate_json(READ.model_dump_json()) == READ
