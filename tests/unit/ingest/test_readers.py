"""Rows become messages or rejects with their line numbers; nothing ends the reading."""

from __future__ import annotations

import gzip
import io

import orjson
import pytest

from undertone.errors import InputFileError
from undertone.ingest.readers import LINE_LIMIT_BYTES, Reject, Row, merge_by_id, read_rows
from undertone.records import Kind, RawMessage
from undertone.settings import FieldMapping

GOOD = {
    "id": "m1",
    "source": "wire",
    "kind": "news",
    "published_at": "2008-09-15T00:31:00Z",
    "text": "Lehman files for bankruptcy",
}


def read(data: bytes, name: str = "rows.jsonl", **fields: FieldMapping) -> list[Row | Reject]:
    return list(read_rows(io.BytesIO(data), name, fields))


def line(**changes: object) -> bytes:
    return orjson.dumps({**GOOD, **changes}) + b"\n"


def test_a_json_line_becomes_a_message_with_its_line_number() -> None:
    rows = read(b"\n" + line())
    assert len(rows) == 1
    assert isinstance(rows[0], Row)
    assert rows[0].line == 2
    assert rows[0].message.kind == Kind.NEWS


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b'{"id": "m1", "text": "cut of\n', "not JSON"),
        (b"[1, 2]\n", "expected a JSON object"),
        (b"3\n", "expected a JSON object"),
        (b'{"text": "\xff\xfe"}\n', "not JSON"),
        (b"\x00\x00\n", "not JSON"),
        (b"[" * 5_000 + b"\n", "not JSON"),
        (line(text=7), "text: "),
        (line(text=None), "text: "),
        (line(text="  "), "text: is empty"),
        (line(text="x" * 70_000), "text: 70000 bytes"),
        (line(text="a\x00b"), "text: holds a NUL"),
        (line(published_at="2008-09-15T00:31:00"), "published_at: "),
        (line(published_at="yesterday"), "published_at: "),
        (line(published_at=True), "published_at: "),
        (line(published_at=10**18), "published_at: "),
        (line(arrived_at="noon"), "arrived_at: "),
        (line(kind="rumour"), "kind: "),
        (line(source=""), "source: "),
        (line(audience=-1), "audience: "),
        (line(subjects={"a": 1}), "subjects"),
        (line(subjects=[["a"]]), "subjects"),
        (line(id="x" * 600), "id: "),
        (b"x" * (LINE_LIMIT_BYTES + 10) + b"\n", "more than the 1048576 allowed"),
    ],
)
def test_a_bad_line_is_a_reject_and_the_next_is_read(bad: bytes, error: str) -> None:
    reject, row = read(bad + line())
    assert isinstance(reject, Reject)
    assert isinstance(row, Row)
    assert (reject.line, row.line) == (1, 2)
    assert error in reject.error
    assert len(reject.text) <= 2_000
    assert orjson.loads(reject.to_json())["line"] == 1


def test_a_file_cut_off_in_gzip_gives_what_can_be_read_and_a_reject() -> None:
    whole = gzip.compress(b"".join(line(id=f"m{n}", text=f"story {n * n}") for n in range(2_000)))
    rows = read(whole[: len(whole) // 2], "rows.jsonl.gz")
    assert isinstance(rows[0], Row)
    assert isinstance(rows[-1], Reject)
    assert "gzip" in rows[-1].error


def test_a_file_that_only_claims_to_be_gzip_is_one_reject() -> None:
    (reject,) = read(line(), "rows.jsonl.gz")
    assert isinstance(reject, Reject)
    assert "gzip" in reject.error


def test_subjects_become_ids_and_a_mapping_renames_fields() -> None:
    row = read(
        orjson.dumps({"full": "Profit up", "when": GOOD["published_at"], "who": ["Goldman Sachs"]}),
        text=FieldMapping(field="full"),
        published_at=FieldMapping(field="when"),
        source=FieldMapping(const="wire"),
        subjects=FieldMapping(field="who"),
    )[0]
    assert isinstance(row, Row)
    assert row.message.text == "Profit up"
    assert row.message.source == "wire"
    assert row.message.subjects == ("goldman-sachs",)


def test_csv_is_read_by_its_header_with_quoted_line_breaks() -> None:
    data = (
        b"\xef\xbb\xbfid,source,published_at,text,subjects,audience\n"
        b'c1,wire,2008-09-15T00:31:00Z,"two\nlines, one cell",Lehman; Goldman Sachs,12\n'
        b"c2,wire,2008-09-15T00:32:00Z,plain,,\n"
    )
    first, second = read(data, "rows.csv")
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.message.text == "two\nlines, one cell"
    assert first.message.subjects == ("lehman", "goldman-sachs")
    assert first.message.audience == 12
    assert (first.line, second.line) == (2, 4)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"c1,wire,2008-09-15T00:31:00Z\n", "3 cells, where the header row has 4"),
        (b"c1,wire,2008-09-15T00:31:00Z,a,b\n", "5 cells"),
        (b"c1,wire,2008-09-15T00:31:00Z,\xff\xfe\n", "not UTF-8"),
        (b"c1,wire,15/09/2008,text\n", "published_at: "),
        (b"c1,wire,2008-09-15T00:31:00Z,\n", "text: "),
        (b"c1,wire,2008-09-15T00:31:00Z," + b"x" * 200_000 + b"\n", "not CSV: field larger"),
        (b"c1,wire,2008-09-15T00:31:00Z,a\x00b\n", "NUL"),
    ],
)
def test_a_bad_csv_row_is_a_reject_and_the_next_is_read(bad: bytes, error: str) -> None:
    data = b"id,source,published_at,text\n" + bad + b"c2,wire,2008-09-15T00:32:00Z,plain\n"
    reject, row = read(data, "rows.csv")
    assert isinstance(reject, Reject)
    assert isinstance(row, Row)
    assert error in reject.error
    assert (reject.line, row.line) == (2, 3)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"id,id,text\n"])
def test_csv_without_a_usable_header_row_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(InputFileError, match=r"rows\.csv: line 1: expected a header row"):
        read(data, "rows.csv")


def test_rows_of_one_id_and_moment_are_merged_into_one_message_with_all_subjects() -> None:
    def row(number: int, id: str | None, *subjects: str, at_ms: int = 1_000) -> Row:
        message = RawMessage(
            id=id, source="twitter", published_at=at_ms, text="x", subjects=subjects
        )
        return Row(number, message)

    reject = Reject(3, "", "bad")
    merged = list(
        merge_by_id(
            [
                row(1, "a", "aapl"),
                row(2, "a", "goog", "aapl"),
                reject,
                row(4, "a", "c"),
                row(5, "b", "aapl"),
                row(6, None, "x"),
                row(7, None, "y"),
                row(8, "a", "fb"),
                row(9, "a", "ibm", at_ms=2_000),
            ]
        )
    )
    messages = [item for item in merged if isinstance(item, Row)]
    assert reject in merged
    assert [(item.line, item.message.id, item.message.subjects) for item in messages] == [
        (1, "a", ("aapl", "goog", "c", "fb")),
        (5, "b", ("aapl",)),
        (6, None, ("x",)),
        (7, None, ("y",)),
        (9, "a", ("ibm",)),
    ]
