"""Files and standard input → messages and rejects, one row at a time.

JSON lines and CSV with a header row, either of them gzipped. Nothing that a file may hold ends the
reading: a row that cannot be read becomes a Reject with its line number. Memory is bounded by one
line.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

import orjson
from pydantic import ValidationError

from undertone.errors import InputFileError
from undertone.field_mapping import apply_mapping, subject_id
from undertone.records import RawMessage, describe_validation
from undertone.settings import FieldMapping

# 64 KiB of text takes at most 384 KiB when every character is escaped; the rest is for the fields
# that other people's JSON has beside it.
LINE_LIMIT_BYTES = 1 << 20
REJECT_TEXT_LIMIT = 2_000
# How many messages of one moment are held while more rows of theirs may follow.
MERGE_REACH_ROWS = 1_000

Format = Literal["jsonl", "csv"]


@dataclass(frozen=True, slots=True)
class Row:
    """A message and the line that it was read from (1 is the first)."""

    line: int
    message: RawMessage
    file: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that is no message: what it holds (its first 2,000 characters), and what is wrong."""

    line: int
    text: str
    error: str
    file: str = ""

    def to_json(self) -> bytes:
        """One line of the rejects file."""
        return orjson.dumps(
            {"file": self.file, "line": self.line, "error": self.error, "text": self.text}
        )


def format_of(name: str) -> Format:
    """The format by the file's name: `.csv` and `.csv.gz` are CSV, all else is JSON lines."""
    return "csv" if name.lower().removesuffix(".gz").endswith(".csv") else "jsonl"


def read_rows(
    file: BinaryIO,
    name: str,
    mapping: Mapping[str, FieldMapping],
    *,
    format: Format | None = None,
) -> Iterator[Row | Reject]:
    """The rows of an open binary file. `name` tells gzip (`.gz`) and, by default, the format.

    Raises InputFileError where a CSV file has no usable header row; everything else that is wrong
    is a Reject.
    """
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if name.endswith(".gz") else file
    lines = _lines(stream)
    if (format or format_of(name)) == "csv":
        rows = _csv_rows(lines, name, mapping)
    else:
        rows = _json_rows(lines, name, mapping)
    return rows


def merge_by_id(rows: Iterable[Row | Reject]) -> Iterator[Row | Reject]:
    """Rows of one id and one moment, near each other, become one message with all their subjects.

    Some sources repeat a message once for each tag; messages of one second may stand between (95 of
    51,142 rows of a year of tweets). The first row gives all but the subjects.
    """
    held: dict[str | int, Row] = {}
    at_ms: int | None = None
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        message = row.message
        if message.published_at != at_ms or len(held) >= MERGE_REACH_ROWS:
            yield from held.values()
            held.clear()
            at_ms = message.published_at
        key: str | int = row.line if message.id is None else message.id
        known = held.get(key)
        if known is None:
            held[key] = row
        else:
            subjects = tuple(dict.fromkeys(known.message.subjects + message.subjects))
            merged = known.message.model_copy(update={"subjects": subjects})
            held[key] = Row(known.line, merged, known.file)
    yield from held.values()


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    data: bytes
    error: str | None = None


def _lines(stream: BinaryIO) -> Iterator[_Line]:
    """Lines with their numbers; an overlong one is cut, and says so; bad gzip ends the reading."""
    number = 0
    while True:
        number += 1
        try:
            data = stream.readline(LINE_LIMIT_BYTES + 1)
            error = None
            if len(data) > LINE_LIMIT_BYTES:
                size_bytes = len(data) + _skip_line(stream, data)
                error = f"the line has {size_bytes} bytes, more than the {LINE_LIMIT_BYTES} allowed"
        except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
            yield _Line(number, b"", f"the gzip data is damaged or cut off from here on: {fault}")
            return
        except OSError as fault:
            yield _Line(number, b"", f"the file cannot be read from here on: {fault.strerror}")
            return
        if not data:
            return
        yield _Line(number, data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data, error)


def _skip_line(stream: BinaryIO, data: bytes) -> int:
    """Read to the end of a line whose beginning is `data`; returns the bytes skipped."""
    skipped = 0
    while data and not data.endswith(b"\n"):
        data = stream.readline(LINE_LIMIT_BYTES)
        skipped += len(data)
    return skipped


def _json_rows(
    lines: Iterable[_Line], name: str, mapping: Mapping[str, FieldMapping]
) -> Iterator[Row | Reject]:
    for line in lines:
        if not line.error and not line.data.strip():
            continue
        text = line.data[:REJECT_TEXT_LIMIT].decode(errors="replace").strip()
        if line.error:
            yield Reject(line.number, text, line.error, name)
            continue
        try:
            document = orjson.loads(line.data)
        except orjson.JSONDecodeError as error:
            yield Reject(line.number, text, f"not JSON: {error}", name)
            continue
        if not isinstance(document, dict):
            yield Reject(line.number, text, "expected a JSON object in each line", name)
            continue
        yield _row(document, line.number, text, name, mapping)


def _csv_rows(
    lines: Iterable[_Line], name: str, mapping: Mapping[str, FieldMapping]
) -> Iterator[Row | Reject]:
    pending: list[_Line] = []  # the lines of the row being read: a quoted cell may hold several
    reader = csv.reader(_csv_text(lines, pending))
    header = _header(reader, name)
    while True:
        pending.clear()
        cells: list[str] = []
        fault: str | None = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"not CSV: {error}"
        if not cells and fault is None and not any(line.error for line in pending):
            continue
        number = pending[0].number
        raw = b"".join(line.data for line in pending)[:REJECT_TEXT_LIMIT]
        text = raw.decode(errors="replace").strip()
        fault = next((line.error for line in pending if line.error), fault)
        if fault is None and len(cells) != len(header):
            fault = f"{len(cells)} cells, where the header row has {len(header)}"
        if fault is None:
            fault = _unreadable(cells)
        if fault is not None:
            yield Reject(number, text, fault, name)
            continue
        yield _row(_document(header, cells), number, text, name, mapping)


def _csv_text(lines: Iterable[_Line], pending: list[_Line]) -> Iterator[str]:
    for line in lines:
        pending.append(line)
        yield line.data.decode(errors="surrogateescape")


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise InputFileError(f"{name}: line 1: not CSV: {error}") from None
    if not any(header) or len(set(header)) != len(header):
        raise InputFileError(
            f"{name}: line 1: expected a header row that names each column once",
            hint="For JSON lines, let the name end in .jsonl or give --format jsonl.",
        )
    return header


def _unreadable(cells: list[str]) -> str | None:
    for cell in cells:
        try:
            cell.encode()
        except UnicodeEncodeError:
            return "not UTF-8 text"
    return None


def _document(header: list[str], cells: list[str]) -> dict[str, Any]:
    """A CSV row as a document; an empty cell is no value."""
    return {column: cell for column, cell in zip(header, cells, strict=True) if cell.strip()}


def _row(
    document: dict[str, Any],
    line: int,
    text: str,
    name: str,
    mapping: Mapping[str, FieldMapping],
) -> Row | Reject:
    try:
        fields = dict(apply_mapping(document, mapping))
        fields["subjects"] = _subject_ids(fields.get("subjects"))
        if type(fields.get("id")) is int:
            fields["id"] = str(fields["id"])
        message = RawMessage.model_validate(fields)
    except ValidationError as error:
        return Reject(line, text, describe_validation(error), name)
    except UnicodeEncodeError:
        return Reject(line, text, "text: not UTF-8 text (a lone surrogate)", name)
    fault = _unusable(message)
    return Row(line, message, name) if fault is None else Reject(line, text, fault, name)


def _subject_ids(tags: Any) -> Any:
    """Names → ids; `a; b` in a CSV cell is two. What is not a list of texts is left to fail."""
    if tags is None:
        return ()
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        return tags
    ids = (subject_id(name) for tag in tags for name in tag.split(";"))
    return tuple(dict.fromkeys(filter(None, ids)))


def _unusable(message: RawMessage) -> str | None:
    """What a record may hold by its types and a log of messages may not."""
    for field in ("text", "title"):
        if "\x00" in (getattr(message, field) or ""):
            return f"{field}: holds a NUL character"
    return None
