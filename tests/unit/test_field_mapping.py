"""Other people's JSON becomes the fields of a raw message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone.field_mapping import apply_mapping, mapping_for, subject_id
from undertone.settings import FieldMapping

TWEET = {
    "full_text": "hello",
    "user": {"screen_name": "bob"},
    "entities": [{"name": "AT&T"}, "Lehman", 7, None],
    "kind": "social",
    "retweets": 3,
}
FIELDS = {
    "text": FieldMapping(field="full_text"),
    "author": FieldMapping(field="user.screen_name"),
    "source": FieldMapping(const="wire"),
    "subjects": FieldMapping(field="entities"),
    "url": FieldMapping(field="entities.url"),
    "title": FieldMapping(field="headline"),
}


def test_mapped_fields_are_renamed_others_kept_and_unknown_ones_dropped() -> None:
    assert apply_mapping(TWEET, FIELDS) == {
        "text": "hello",
        "author": "bob",
        "source": "wire",
        "subjects": ["AT&T", "Lehman", "7"],
        "kind": "social",
    }


def test_a_dotted_name_may_also_be_a_field_of_its_own() -> None:
    mapping = {"author": FieldMapping(field="user.name")}
    assert apply_mapping({"user.name": "a", "user": {"name": "b"}}, mapping) == {"author": "a"}


@pytest.mark.parametrize(("tags", "read"), [("A", ["A"]), (7, ["7"]), ({"name": "A"}, ["A"])])
def test_a_single_tag_becomes_a_list(tags: object, read: list[str]) -> None:
    assert apply_mapping({"subjects": tags}, {}) == {"subjects": read}


def test_what_is_no_tag_is_left_for_validation_to_refuse() -> None:
    assert apply_mapping({"subjects": [{"label": 1}, True]}, {}) == {
        "subjects": [{"label": 1}, True]
    }


def test_a_record_of_our_own_is_not_mapped_twice() -> None:
    record = {"schema": "raw-message/1", "text": "hello"}
    assert apply_mapping(record, FIELDS) is record


def test_the_first_pattern_that_fits_a_name_or_its_last_part_counts() -> None:
    fields = {"tweets*.jsonl": FIELDS, "*": {}}
    assert mapping_for("tweets", fields) == {}
    assert mapping_for("/data/tweets-1.jsonl", fields) is FIELDS
    assert mapping_for("anything", {}) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Societe Generale", "societe-generale"),
        ("Société Générale", "societe-generale"),
        ("Goldman Sachs", "goldman-sachs"),
        ("AT&T", "at-t"),
        ("BlackBerry/RIM", "blackberry-rim"),
        ("BRK-A", "brk-a"),
        ("$AAPL", "aapl"),
        ("索尼", ""),
    ],
)
def test_a_name_becomes_an_id(name: str, expected: str) -> None:
    assert subject_id(name) == expected


@given(st.text())
def test_an_id_gives_itself(name: str) -> None:
    assert subject_id(subject_id(name)) == subject_id(name)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text())))
def test_any_document_is_mapped_without_a_fault(document: dict) -> None:
    apply_mapping(document, FIELDS)
