"""Bytes of Kafka records ↔ our records: raw messages, the watcher's input, ticks, partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson
from kafka.partitioner.default import murmur2
from pydantic import ValidationError

from undertone.errors import RecordError
from undertone.field_mapping import NO_MAPPING, apply_mapping
from undertone.records import (
    Kind,
    Mention,
    Progress,
    RawMessage,
    describe_validation,
    format_instant,
    parse_instant,
    schema_of,
)
from undertone.settings import FieldMapping

TICK_HEADER = "undertone-time"

_MENTION_PREFIX = f'{{"schema":"{Mention.SCHEMA}"'.encode()
_PROGRESS_PREFIX = f'{{"schema":"{Progress.SCHEMA}"'.encode()


def decode_raw(
    value: bytes | None,
    *,
    topic: str,
    partition: int,
    offset: int,
    mapping: Mapping[str, FieldMapping] = NO_MAPPING,
    kind: Kind | None = None,
) -> RawMessage:
    """Read one raw record; `id` defaults to `topic-partition-offset`, `source` to the topic.

    `kind` is the topic's, for messages that name none. Raises RecordError that names the field
    and what was expected, and nothing else, whatever the bytes.
    """
    if not value:
        raise RecordError("empty record: expected a JSON object")
    try:
        document = orjson.loads(value)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RecordError(f"expected a JSON object, found {type(document).__name__}")
    defaults = {"id": f"{topic}-{partition}-{offset}", "source": topic, "kind": kind or Kind.OTHER}
    fields = defaults | apply_mapping(document, mapping)
    if isinstance(fields["id"], int) and not isinstance(fields["id"], bool):
        fields["id"] = str(fields["id"])
    try:
        return RawMessage.model_validate(fields)
    except ValidationError as error:
        raise RecordError(describe_validation(error)) from None
    except (OverflowError, UnicodeError) as error:
        raise RecordError(f"record: {error}") from None


def decode_watch_record(value: bytes | None) -> Mention | Progress:
    """Read one record of the mentions topic. Raises RecordError."""
    if not value:
        raise RecordError("empty record: expected a mention or a progress record")
    if value.startswith(_MENTION_PREFIX):
        return Mention.from_json(value)
    if value.startswith(_PROGRESS_PREFIX):
        return Progress.from_json(value)
    schema = schema_of(value)  # other writers may put the schema elsewhere
    if schema == Mention.SCHEMA:
        return Mention.from_json(value)
    if schema == Progress.SCHEMA:
        return Progress.from_json(value)
    raise RecordError(f"schema: {schema!r} is neither {Mention.SCHEMA} nor {Progress.SCHEMA}")


def tick_headers(instant_ms: int) -> list[tuple[str, bytes]]:
    """The headers of a tick (a record without value): recorded time has come to `instant_ms`."""
    return [(TICK_HEADER, format_instant(instant_ms).encode())]


def tick_instant(headers: Iterable[tuple[str, bytes]] | None) -> int | None:
    """The time that a tick carries, in ms; None where the headers name none that can be read."""
    for name, value in headers or ():
        if name == TICK_HEADER:
            try:
                return parse_instant(value.decode())
            except (ValueError, AttributeError):
                return None
    return None


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: murmur2 as in Kafka's own clients, the same in every process."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
