"""Records: instants, bounds, and JSON that reads back the same."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import RecordError
from undertone.records import (
    EARLIEST_MS,
    LATEST_MS,
    TEXT_LIMIT_BYTES,
    Kind,
    Mention,
    Progress,
    RawMessage,
    Record,
    Severity,
    format_instant,
    parse_instant,
    schema_of,
)

RAW = {"source": "wire", "published_at": "2008-09-15T00:31:00Z", "text": "Lehman fails"}
MENTION = {
    "message_id": "m1",
    "subject": "lehman",
    "target": "Lehman",
    "published_at": "2008-09-15T00:31:00Z",
    "ingested_at": "2008-09-15T00:31:02.500Z",
    "source": "wire",
    "kind": "news",
    "excerpt": "Lehman fails",
    "text_hash": "abc",
    "fingerprint": "0123456789abcdef",
    "p_negative": 0.9,
    "p_neutral": 0.08,
    "p_positive": 0.02,
    "status": "scored",
    "model": "stub@1",
    "raw": {"topic": "t", "partition": 0, "offset": 7},
    "scored_at": "2008-09-15T00:31:03Z",
}


def encoded(document: object) -> bytes:
    return orjson.dumps(document)


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00.1239Z", 123),
        ("1969-12-31T23:59:59Z", -1000),
        (1234, 1234),
    ],
)
def test_an_instant_is_read(text: object, instant_ms: int) -> None:
    assert parse_instant(text) == instant_ms


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("2008-09-15T00:31:00", "names no time zone"),
        ("yesterday", "cannot read 'yesterday' as a time"),
        (True, "expected a time such as"),
        (1.5, "expected a time such as"),
        (None, "expected a time such as"),
        (10**18, "lies outside the years 1 to 9999"),
        ("0001-01-01T00:00:00+05:00", "lies outside the years 1 to 9999"),
    ],
)
def test_a_time_that_is_naive_or_none_is_refused(value: object, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_instant(value)


@given(st.integers(EARLIEST_MS, LATEST_MS))
def test_an_instant_reads_back_the_same(instant_ms: int) -> None:
    assert parse_instant(format_instant(instant_ms)) == instant_ms


def test_a_raw_message_needs_little() -> None:
    message = RawMessage.from_json(encoded(RAW))
    assert (message.kind, message.id, message.subjects) == ("other", None, ())


def test_unknown_fields_are_ignored() -> None:
    assert RawMessage.from_json(encoded({**RAW, "retweets": 3})).text == "Lehman fails"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"text": " "}, "text: is empty"),
        ({"text": "é" * (TEXT_LIMIT_BYTES // 2 + 1)}, "text: 65538 bytes, more than the 65536"),
        ({"text": 3}, "text: Input should be a valid string"),
        ({"source": ""}, "source: String should have at least 1"),
        ({"published_at": "2008-09-15"}, "published_at: '2008-09-15' names no time zone"),
        ({"kind": "letter"}, "kind: Input should be 'news', 'social' or 'other'"),
        ({"subjects": "lehman"}, "subjects: Input should be a valid array"),
        ({"audience": -1}, "audience: Input should be greater"),
    ],
)
def test_a_wrong_field_is_named(change: dict, wrong: str) -> None:
    with pytest.raises(RecordError) as caught:
        RawMessage.from_json(encoded({**RAW, **change}))
    assert wrong in str(caught.value)


def test_a_title_alone_is_text_enough() -> None:
    assert RawMessage.from_json(encoded({**RAW, "text": "", "title": "Lehman fails"})).title


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"null"])
def test_what_is_no_json_object_is_a_record_error(data: bytes) -> None:
    with pytest.raises(RecordError):
        RawMessage.from_json(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_record_error(data: bytes) -> None:
    with suppress(RecordError):
        RawMessage.from_json(data)


def test_a_mention_reads_back_the_same_with_its_schema_first() -> None:
    mention = Mention.from_json(encoded(MENTION))
    assert mention.to_json().startswith(b'{"schema":"mention/1",')
    assert Mention.from_json(mention.to_json()) == mention
    assert orjson.loads(mention.to_json())["ingested_at"] == "2008-09-15T00:31:02.500Z"


def test_absent_fields_are_not_written() -> None:
    assert "url" not in orjson.loads(Mention.from_json(encoded(MENTION)).to_json())


def test_progress_reads_back_the_same() -> None:
    progress = Progress(expected={"t": 2}, complete_until={"t": {0: 5, 1: 1000}})
    assert Progress.from_json(progress.to_json()) == progress


def test_records_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RawMessage.from_json(encoded(RAW)).text = "other"  # type: ignore[misc]


def test_severities_are_ordered() -> None:
    assert [severity.rank for severity in (Severity.INFO, Severity.WARNING, Severity.CRITICAL)] == [
        0,
        1,
        2,
    ]


def test_the_schema_of_a_record_is_read() -> None:
    assert schema_of(b'{"schema": "progress/1"}') == "progress/1"


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"schema": 1}', b"\xff"])
def test_a_record_without_a_schema_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        schema_of(data)


@given(
    st.fixed_dictionaries(
        {
            "url": st.none() | st.text(max_size=20),
            "audience": st.none() | st.integers(0, 10**9),
            "published_at": st.integers(0, 4_000_000_000_000),
            "kind": st.sampled_from(list(Kind)),
            "p_negative": st.none() | st.floats(0, 1),
            "relevance": st.floats(0, 1),
            "excerpt": st.text(max_size=280),
        }
    )
)
def test_a_mention_is_written_as_any_record(fields: dict[str, Any]) -> None:
    mention = Mention.model_validate({**MENTION, **fields})
    assert mention.to_json() == Record.to_json(mention)
