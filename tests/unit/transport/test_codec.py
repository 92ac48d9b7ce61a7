"""The codec reads whatever other people put on a topic, or says what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.errors import RecordError
from undertone.records import Kind, Mention, Progress, RawMessage
from undertone.settings import FieldMapping
from undertone.transport.codec import (
    decode_raw,
    decode_watch_record,
    partition_of,
    tick_headers,
    tick_instant,
)

GOOD = {"source": "wire", "kind": "news", "published_at": "2026-01-31T09:30:00Z", "text": "Hi all"}
PLACE: dict[str, Any] = {"topic": "t.raw", "partition": 3, "offset": 17}


def encoded(**changes: object) -> bytes:
    """A good message as JSON, with fields changed; None removes one."""
    fields = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return json.dumps(fields).encode()


def test_a_plain_message_is_read() -> None:
    message = decode_raw(encoded(id="a-1", subjects=["Goldman Sachs"]), **PLACE)
    assert (message.id, message.kind, message.subjects) == ("a-1", "news", ("Goldman Sachs",))


def test_id_source_and_kind_have_defaults() -> None:
    message = decode_raw(encoded(source=None, kind=None), **PLACE, kind=Kind.SOCIAL)
    assert (message.id, message.source, message.kind) == ("t.raw-3-17", "t.raw", "social")


def test_a_number_is_taken_as_an_id() -> None:
    assert decode_raw(encoded(id=418157151946035200), **PLACE).id == "418157151946035200"


def test_other_peoples_fields_are_mapped() -> None:
    value = json.dumps({"full_text": "Hello", "ts": 1_769_851_800_000, "user": {"name": "joe"}})
    mapping = {
        "text": FieldMapping(field="full_text"),
        "published_at": FieldMapping(field="ts"),
        "author": FieldMapping(field="user.name"),
        "source": FieldMapping(const="wire"),
    }
    message = decode_raw(value.encode(), **PLACE, mapping=mapping)
    assert (message.text, message.author, message.source) == ("Hello", "joe", "wire")
    assert message.published_at == 1_769_851_800_000


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (None, "empty record"),
        (b"", "empty record"),
        (b"{bad", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"text": "\xc3\x28"}', "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b'"text"', "expected a JSON object, found str"),
        (encoded(text=None), "text: "),
        (encoded(text=""), "text: is empty"),
        (encoded(text="  \n "), "text: is empty"),
        (encoded(text=7), "text: "),
        (encoded(text="x" * 70_000), "more than the 65536 allowed"),
        (encoded(text="é" * 40_000), "more than the 65536 allowed"),
        (encoded(published_at=None), "published_at: "),
        (encoded(published_at="2026-01-31T09:30:00"), "names no time zone"),
        (encoded(published_at="yesterday"), "cannot read 'yesterday' as a time"),
        (encoded(published_at=True), "published_at: "),
        (encoded(published_at=10**17), "years 1 to 9999"),
        (encoded(arrived_at=-(10**17)), "arrived_at: "),
        (encoded(kind="gossip"), "kind: "),
        (encoded(audience=-1), "audience: "),
        (encoded(subjects=[{"no": "name"}]), "subjects.0: "),
        (encoded(id="i" * 600), "id: "),
    ],
)
def test_what_cannot_be_read_says_why(value: bytes | None, wrong: str) -> None:
    with pytest.raises(RecordError, match=re.escape(wrong)):
        decode_raw(value, **PLACE)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_record_error(value: bytes) -> None:
    with contextlib.suppress(RecordError):
        decode_raw(value, **PLACE)


@given(
    st.dictionaries(
        st.sampled_from([*RawMessage.model_fields, "schema", "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["name", "x"]), inner, max_size=2)
            ),
            max_leaves=5,
        ),
    )
)
def test_no_json_raises_anything_but_a_record_error(document: dict[str, object]) -> None:
    try:
        message = decode_raw(json.dumps(document).encode(), **PLACE)
    except RecordError:
        return
    message.to_json()  # what was accepted can be written again


MENTION = {
    "schema": "mention/1",
    "message_id": "m",
    "subject": "lehman",
    "target": "Lehman",
    "published_at": "2026-01-31T09:30:00Z",
    "ingested_at": "2026-01-31T09:30:00Z",
    "source": "wire",
    "kind": "news",
    "excerpt": "Lehman",
    "text_hash": "00",
    "fingerprint": "0" * 16,
    "status": "unscored",
    "model": "stub@1",
    "raw": {"topic": "t", "partition": 0, "offset": 1},
    "scored_at": "2026-01-31T09:30:01Z",
}
PROGRESS = {"schema": "progress/1", "expected": {"t": 2}, "complete_until": {"t": {"0": 5}}}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize(("document", "kind"), [(MENTION, Mention), (PROGRESS, Progress)])
def test_mentions_and_progress_are_told_apart(
    document: dict[str, Any], kind: type, separators: tuple[str, str]
) -> None:
    record = decode_watch_record(json.dumps(document, separators=separators).encode())
    assert type(record) is kind
    assert decode_watch_record(record.to_json()) == record


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"nonsense", b'{"schema":"alert/1"}', b'{"schema":"mention/1"}']
)
def test_anything_else_on_the_mentions_topic_is_a_record_error(value: bytes | None) -> None:
    with pytest.raises(RecordError):
        decode_watch_record(value)


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_a_tick_carries_its_time(instant_ms: int) -> None:
    assert tick_instant([("other", b"x"), *tick_headers(instant_ms)]) == instant_ms


@pytest.mark.parametrize(
    "headers",
    [None, [], [("undertone-time", b"soon")], [("undertone-time", b"\xff")], [("time", b"2026")]],
)
def test_a_header_that_is_no_time_is_no_tick(headers: list[tuple[str, bytes]] | None) -> None:
    assert tick_instant(headers) is None


def test_a_key_has_the_partition_that_kafkas_clients_give_it() -> None:
    # From Apache Kafka's own UtilsTest.testMurmur2.
    assert partition_of(b"21", 2**31) == -973932308 & 0x7FFFFFFF
    assert partition_of(b"foobar", 2**31) == -790332482 & 0x7FFFFFFF
