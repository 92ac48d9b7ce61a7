"""What is sent to `POST /v1/messages` and answered, and which raw records it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from undertone.records import TEXT_LIMIT_BYTES, Instant, RawMessage
from undertone.serving.gate import TooLargeError, WrongFieldError
from undertone.settings import RawTopic
from undertone.transport.raw_topics import raw_partition, topic_of_kind

# Kafka takes records of up to 1 MiB; what a message may hold beside its text is far less.
VALUE_LIMIT_BYTES = 1 << 19

_Moment = Annotated[Instant, WithJsonSchema({"type": "string", "format": "date-time"})]


class SentMessage(RawMessage):
    """One news item or post, as `undertone ingest` takes it; `kind` is its topic's by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["raw-message/1"] | None = Field(default=None, alias="schema")
    source: str = Field(min_length=1, max_length=256, description="Who publishes it.")
    published_at: _Moment = Field(description="ISO 8601 with Z or an offset.")
    text: str = Field(description="What was said; may be empty where there is a title.")
    subjects: tuple[str, ...] = Field(default=(), description="Ids on the watchlist, if known.")
    arrived_at: Annotated[Instant | None, WithJsonSchema({"type": "null"})] = Field(
        default=None, description="For files alone: here a message arrives as Kafka takes it."
    )

    @field_validator("*")
    @classmethod
    def _can_be_written(cls, value: Any) -> Any:
        for text in value if isinstance(value, tuple) else (value,):
            if not isinstance(text, str):
                continue
            try:
                size_bytes = len(text.encode())
            except UnicodeEncodeError:
                raise ValueError("is not valid Unicode (half a surrogate pair)") from None
            if size_bytes > TEXT_LIMIT_BYTES:
                limit = f"{TEXT_LIMIT_BYTES:,}"
                raise PydanticCustomError(
                    "too_large", "has more than {limit} bytes", {"limit": limit}
                )
            if "\x00" in text:
                raise ValueError("holds a NUL character")
        return value

    @field_validator("arrived_at")
    @classmethod
    def _arrives_now(cls, value: int | None) -> int | None:
        if value is not None:
            raise ValueError("is for files: here a message arrives as Kafka takes it")
        return value


class SentMessages(BaseModel):
    """Many messages at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: list[SentMessage] = Field(min_length=1)


def _shape(body: object) -> str | None:
    if isinstance(body, SentMessages) or (isinstance(body, dict) and "messages" in body):
        return "many"
    return "one" if isinstance(body, dict | SentMessage) else None


_EXAMPLE = {
    "id": "wire-1",
    "source": "wire",
    "kind": "news",
    "published_at": "2026-01-31T09:30:00Z",
    "title": "Acme recalls toys",
    "text": "Acme has recalled all toys of the year.",
    "url": "https://wire.example/1",
}
MessagesBody = Annotated[
    Annotated[SentMessage, Tag("one")] | Annotated[SentMessages, Tag("many")],
    Discriminator(_shape),
    Body(
        openapi_examples={
            "one": {"summary": "one message", "value": _EXAMPLE},
            "many": {
                "summary": "many messages",
                "value": {"messages": [_EXAMPLE, {**_EXAMPLE, "id": "wire-2"}]},
            },
        }
    ),
]


class Position(BaseModel):
    """Where a message stands in the log."""

    id: str = Field(description="Its own, else `topic-partition-offset`.")
    topic: str
    partition: int
    offset: int


class PositionsAnswer(BaseModel):
    """The messages in the order they were sent; Kafka has acknowledged each."""

    messages: list[Position]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One raw record to write."""

    topic: str
    partition: int
    value: bytes
    message_id: str | None

    def at(self, offset: int) -> Position:
        """Its position, once it is written."""
        given = self.message_id or f"{self.topic}-{self.partition}-{offset}"
        return Position(id=given, topic=self.topic, partition=self.partition, offset=offset)


def raw_records(
    body: SentMessage | SentMessages,
    topics: Sequence[RawTopic],
    *,
    only: str | None,
    max_messages: int,
) -> list[RawRecord]:
    """The records of a request: to the topic `only`, else each to the first topic of its kind.

    Raises TooLargeError for too many messages or one that is too large; WrongFieldError where a
    topic is not among `topics`, or keeps recorded time.
    """
    many = isinstance(body, SentMessages)
    messages = body.messages if isinstance(body, SentMessages) else [body]
    if len(messages) > max_messages:
        found = f"messages: {len(messages):,} messages, at most {max_messages:,}"
        raise TooLargeError(found, "messages")
    named = None if only is None else next((t for t in topics if t.name == only), None)
    if only is not None and named is None:
        raise WrongFieldError("topic: is not among the raw topics of the settings", "topic")
    records = []
    for index, message in enumerate(messages):
        topic = named or topic_of_kind(message.kind, topics)
        where = f"messages.{index}" if many else None
        if topic.clock != "live":
            field = "topic" if named else ".".join(filter(None, [where, "kind"]))
            reason = f"{field}: topic {topic.name} keeps recorded time, and takes no live messages"
            raise WrongFieldError(reason, field)
        record = _record(message, topic)
        if len(record.value) > VALUE_LIMIT_BYTES:
            reason = f"{where or 'the body'}: has more than {VALUE_LIMIT_BYTES:,} bytes"
            raise TooLargeError(reason, where)
        records.append(record)
    return records


def _record(message: SentMessage, topic: RawTopic) -> RawRecord:
    fields = message.model_dump(exclude={"schema_"})
    if "kind" not in message.model_fields_set:
        fields["kind"] = topic.kind
    value = RawMessage.model_construct(**fields).to_json()
    partition = raw_partition(message.id, value, topic.partitions)
    return RawRecord(topic.name, partition, value, message.id)
