"""The pure core: what is read of a raw record, and what mentions come of its scores."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.records import Kind, MentionStatus, RawPosition
from undertone.scoring.pipeline import (
    RawRecord,
    Reader,
    Reading,
    Rejected,
    Tick,
    in_thousandths,
    mentions_of,
    weighted_mean,
)
from undertone.settings import FieldMapping, RawTopic
from undertone.transport.codec import tick_headers
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.classifier import Pair

WATCHLIST = Watchlist.model_validate(
    {
        "subjects": [
            {"id": "acme", "name": "Acme Corp", "terms": ["Acme"]},
            {"id": "zenith", "name": "Zenith Air", "terms": ["Zenith"]},
        ]
    }
)
TOPICS = (RawTopic(name="t.news", kind=Kind.NEWS),)


def reader(fields: dict[str, dict[str, FieldMapping]] | None = None) -> Reader:
    return Reader(Matcher(WATCHLIST), TOPICS, fields or {}, max_tokens=64)


def record(value: bytes | None = None, **fields: object) -> RawRecord:
    message = {"source": "wire", "published_at": "2026-01-31T09:30:00Z", "text": "x"} | fields
    return RawRecord("t.news", 1, 7, 1000, value or json.dumps(message).encode())


def read(**fields: object) -> Reading:
    reading = reader().read(record(**fields))
    assert isinstance(reading, Reading)
    return reading


def test_each_subject_that_is_named_gives_a_draft() -> None:
    reading = read(text="Acme sues Zenith over a failed merger")
    assert [(draft.subject, draft.target) for draft in reading.drafts] == [
        ("acme", "Acme"),
        ("zenith", "Zenith"),
    ]
    assert reading.message.kind == "news"
    assert [pair.target for pair in reading.pairs] == ["Acme", "Zenith"]


def test_a_message_about_nobody_has_no_drafts() -> None:
    assert read(text="Nothing to see here").drafts == ()


def test_a_tagged_subject_is_read_under_its_name_from_the_start() -> None:
    (draft,) = read(text="Profit warning at the tool maker", subjects=["Acme"]).drafts
    ((pair, _),) = draft.parts
    assert pair == Pair("Profit warning at the tool maker", "Acme Corp")


def test_unknown_tags_are_counted() -> None:
    assert read(text="Acme", subjects=["acme", "nobody", "Zenith"]).ignored_tags == 1


def test_title_and_text_are_read_as_one() -> None:
    (draft,) = read(title="Acme fails", text="A long story.").drafts
    assert draft.excerpt == "Acme fails A long story."


def test_a_tick_is_no_message() -> None:
    tick = RawRecord("t.news", 1, 7, 1000, None, tick_headers(5000))
    assert reader().read(tick) == Tick()
    assert tick.stamp_ms == 5000


@pytest.mark.parametrize("value", [b"{bad", b"\xff", b"[]", b'{"text": "no time"}'])
def test_what_cannot_be_decoded_is_rejected(value: bytes) -> None:
    rejected = reader().read(record(value))
    assert isinstance(rejected, Rejected)
    assert rejected.stage == "decode"


def test_a_record_without_value_or_time_is_rejected() -> None:
    assert isinstance(reader().read(RawRecord("t.news", 1, 7, 1000, None)), Rejected)


def test_a_record_that_breaks_the_matcher_is_rejected() -> None:
    class Broken(Matcher):
        def match(self, text: str, title: str | None, tags: Sequence[str]) -> list[object]:
            raise ZeroDivisionError("oh")

    broken = Reader(Broken(WATCHLIST), TOPICS, {}, max_tokens=64)
    assert broken.read(record(text="Acme")) == Rejected("ZeroDivisionError: oh", "match")


def test_fields_of_other_people_are_mapped_by_topic() -> None:
    mapping = {"t.*": {"text": FieldMapping(field="headline")}}
    reading = reader(mapping).read(record(headline="Acme wins"))
    assert isinstance(reading, Reading)
    assert reading.message.text == "Acme wins"


POSITION = RawPosition(topic="t.news", partition=1, offset=7)
TIMES = {"ingested_at": 1000, "scored_at": 2000, "model": "stub@1"}


def test_mentions_carry_what_the_message_says() -> None:
    reading = read(text="Acme sues Zenith", id="m-1", url="http://x.org", author="joe", audience=7)
    acme, zenith = reading.pairs
    mentions = mentions_of(reading, POSITION, {acme: (0.7, 0.2, 0.1), zenith: None}, **TIMES)
    scored, unscored = mentions
    assert (scored.message_id, scored.subject, scored.raw) == ("m-1", "acme", POSITION)
    assert (scored.url, scored.author, scored.audience) == ("http://x.org", "joe", 7)
    assert (scored.p_negative, scored.p_neutral, scored.p_positive) == (0.7, 0.2, 0.1)
    assert scored.status is MentionStatus.SCORED
    assert unscored.status is MentionStatus.UNSCORED
    assert (unscored.p_negative, unscored.p_neutral, unscored.p_positive) == (None, None, None)


def test_the_same_text_has_the_same_hash_and_fingerprint_whoever_sends_it() -> None:
    one, other = read(text="Acme falls", id="a"), read(text="Acme falls", id="b", author="x")
    assert (one.text_hash, one.fingerprint) == (other.text_hash, other.fingerprint)


def test_windows_are_averaged_by_their_weight() -> None:
    assert weighted_mean([((1, 0, 0), 1.0), ((0, 0, 1), 0.5), (None, 0.3)]) == (0.667, 0.0, 0.333)
    assert weighted_mean([(None, 1.0)]) is None
    assert weighted_mean([]) is None


@given(st.tuples(*[st.floats(min_value=0, max_value=1e6)] * 3).filter(lambda row: sum(row) > 1e-6))
def test_thousandths_sum_to_one(row: tuple[float, float, float]) -> None:
    rounded = in_thousandths(row)
    assert sum(round(value * 1000) for value in rounded) == 1000
    assert all(
        abs(value - part / sum(row)) <= 0.001 for value, part in zip(rounded, row, strict=True)
    )
