"""The records that travel between services (design §3).

Instants are integers in memory, milliseconds since 1970 UTC, and ISO 8601 in JSON. Every record is
frozen, carries its `schema`, and ignores fields that it does not know, so that readers of an older
version go on working.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from undertone.errors import RecordError

TEXT_LIMIT_BYTES = 65_536
EXCERPT_LIMIT = 280

EARLIEST_MS = -62_135_596_800_000  # 0001-01-01
LATEST_MS = 253_402_300_799_999  # 9999-12-31

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000

Model = TypeVar("Model", bound=BaseModel)


def parse_instant(value: object) -> int:
    """ISO 8601 with an offset, or milliseconds since 1970 → milliseconds; naive is refused."""
    if isinstance(value, bool):
        raise ValueError("expected a time such as 2026-01-31T09:30:00Z")
    if isinstance(value, int):
        return _in_range(value)
    if not isinstance(value, str):
        raise ValueError("expected a time such as 2026-01-31T09:30:00Z")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"cannot read {value[:40]!r} as a time; expected one such as 2026-01-31T09:30:00Z"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{value[:40]!r} names no time zone; add Z or an offset such as +02:00")
    delta = moment - _EPOCH
    return _in_range((delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000)


def _in_range(instant_ms: int) -> int:
    if not EARLIEST_MS <= instant_ms <= LATEST_MS:
        raise ValueError(f"{instant_ms} ms since 1970 lies outside the years 1 to 9999")
    return instant_ms


def format_instant(instant_ms: int) -> str:
    """Milliseconds since 1970 → ISO 8601 in UTC, with milliseconds only where there are any."""
    days, in_day_ms = divmod(instant_ms, _DAY_MS)
    seconds, ms = divmod(in_day_ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{_format_date(days)}T{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{ms:03d}Z" if ms else f"{text}Z"


@lru_cache(maxsize=64)
def _format_date(days: int) -> str:
    """Days since 1970 → `2026-01-31`. A stream stays within a day or two for long."""
    return date.fromordinal(_EPOCH.toordinal() + days).isoformat()


@lru_cache(maxsize=64)
def _field_names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def trusted(model: type[Model], /, **values: Any) -> Model:
    """A model from values that are right by construction, without validation.

    For the few records that a core makes several times a mention: a quarter of the cost of
    validation, an eighth of `model_construct`. Every field must be given, in the model's order.
    """
    made = model.__new__(model)
    # What pydantic's own `model_construct` sets.
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", _field_names(model))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


Instant = Annotated[
    int,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Kind(StrEnum):
    """What sort of channel a message came through."""

    NEWS = "news"
    SOCIAL = "social"
    OTHER = "other"


class Severity(StrEnum):
    """How loudly an alert speaks; ordered from the least to the most."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for critical."""
        return list(Severity).index(self)


class Record(BaseModel):
    """A frozen record with a schema tag such as `mention/1`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    SCHEMA: ClassVar[str]

    def to_json(self) -> bytes:
        """The record as UTF-8 JSON with its schema first and keys in a fixed order."""
        return _encode({"schema": self.SCHEMA, **self.model_dump(mode="json", exclude_none=True)})

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read one record. Raises RecordError that names the field and what was expected."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise RecordError(describe_validation(error)) from None


def _encode(document: dict[str, Any]) -> bytes:
    # The bytes that orjson returns keep the 4 KB buffer that they were written in for as long as
    # they live; producers and state hold many (measured: 4,124 bytes each, 526 as a copy).
    return bytes(memoryview(orjson.dumps(document)))


def describe_validation(error: ValidationError) -> str:
    """Pydantic's findings in one line: `field: what is wrong; field: …`."""
    parts = []
    for item in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in item["loc"]) or "record"
        parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(parts)


class RawPosition(BaseModel):
    """Where a raw record stands in the log."""

    model_config = ConfigDict(frozen=True)
    topic: str
    partition: int
    offset: int


class RawMessage(Record):
    """One news item or post, as ingested."""

    SCHEMA: ClassVar[str] = "raw-message/1"

    id: str | None = Field(default=None, min_length=1, max_length=512)
    source: str = Field(min_length=1, max_length=256)
    kind: Kind = Kind.OTHER
    published_at: Instant
    text: str
    title: str | None = None
    url: str | None = Field(default=None, max_length=4096)
    author: str | None = Field(default=None, max_length=256)
    language: str | None = Field(default=None, max_length=35)
    audience: int | None = Field(default=None, ge=0)
    subjects: tuple[str, ...] = ()
    arrived_at: Instant | None = None

    @model_validator(mode="after")
    def _text_is_readable(self) -> Self:
        if not (self.text.strip() or (self.title or "").strip()):
            raise ValueError("text: is empty")
        size_bytes = len(self.text.encode()) + len((self.title or "").encode())
        if size_bytes > TEXT_LIMIT_BYTES:
            raise ValueError(f"text: {size_bytes} bytes, more than the {TEXT_LIMIT_BYTES} allowed")
        return self


class MentionStatus(StrEnum):
    """Whether the classifier answered."""

    SCORED = "scored"
    UNSCORED = "unscored"


class Mention(Record):
    """One message about one subject, as the classifier read it."""

    SCHEMA: ClassVar[str] = "mention/1"

    message_id: str
    subject: str
    target: str
    published_at: Instant
    ingested_at: Instant
    source: str
    kind: Kind
    url: str | None = None
    author: str | None = None
    audience: int | None = None
    excerpt: str = Field(max_length=EXCERPT_LIMIT)
    text_hash: str
    relevance: Probability = 1.0
    fingerprint: str = Field(pattern=r"^[0-9a-f]{16}$")
    p_negative: Probability | None = None
    p_neutral: Probability | None = None
    p_positive: Probability | None = None
    status: MentionStatus
    model: str
    raw: RawPosition
    scored_at: Instant

    def to_json(self) -> bytes:
        """The same bytes as any record's, made at a third of the cost: the scorer's hot path."""
        document = {name: value for name, value in self.__dict__.items() if value is not None}
        for name in ("published_at", "ingested_at", "scored_at"):
            document[name] = format_instant(document[name])
        document["raw"] = self.raw.__dict__
        return _encode({"schema": self.SCHEMA, **document})


class Progress(Record):
    """The watermark in the log: all that arrived in these raw partitions before T is scored."""

    SCHEMA: ClassVar[str] = "progress/1"

    expected: dict[str, int]
    complete_until: dict[str, dict[int, Instant]]


class TrendPoint(Record):
    """One window of one subject and kind at one moment."""

    SCHEMA: ClassVar[str] = "trend-point/1"

    subject: str
    kind: str
    window: str
    window_end: Instant
    mentions: int
    stories: int
    negative: int
    neutral: int
    positive: int
    unscored: int
    mean_score: float | None = None
    negative_share: float | None = None
    expected_volume: float
    expected_negative_volume: float
    expected_negative_share: float
    expected_mean_score: float
    surprise_volume: float
    surprise_negative_volume: float
    surprise_negative_share: float
    surprise_mean_score: float
    late: int
    revision: int

    def to_json(self) -> bytes:
        """The same bytes as any record's, made at a third of the cost: points are the most."""
        document = {"schema": self.SCHEMA, **self.__dict__}
        document["window_end"] = format_instant(self.window_end)
        if self.mean_score is None:
            del document["mean_score"]
        if self.negative_share is None:
            del document["negative_share"]
        return _encode(document)


class Condition(BaseModel):
    """How one condition of a rule stood when the alert spoke."""

    model_config = ConfigDict(frozen=True)
    window: str
    signal: str
    observed: float
    expected: float
    surprise: float


class Factors(BaseModel):
    """Why: how much is volume, tone, novelty. Their product is observed ÷ expected."""

    model_config = ConfigDict(frozen=True)
    volume: float
    tone: float
    novelty: float


class Tipping(BaseModel):
    """The message that tipped the rule."""

    model_config = ConfigDict(frozen=True)
    message_id: str
    ingested_at: Instant
    raw: RawPosition


class Evidence(BaseModel):
    """One story that proves an alert."""

    model_config = ConfigDict(frozen=True)
    message_id: str
    excerpt: str
    url: str | None = None
    source: str
    published_at: Instant
    p_negative: float | None = None
    raw: RawPosition


class AlertState(StrEnum):
    """Where an alert stands."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Record):
    """One revision of one alert: it fires, may rise in severity, and resolves.

    `fired_as` is the severity of its first revision, where that was another. The versions are those
    of the files that this revision was decided with.
    """

    SCHEMA: ClassVar[str] = "alert/1"

    id: str
    rule: str
    rules_version: str
    watchlist_version: str | None = None
    subject: str
    name: str
    labels: dict[str, str] = {}
    severity: Severity
    fired_as: Severity | None = None
    state: AlertState
    revision: int
    started_at: Instant
    detected_at: Instant
    escalated_at: Instant | None = None
    resolved_at: Instant | None = None
    window: str
    signal: str
    observed: float
    expected: float
    surprise: float
    conditions: tuple[Condition, ...]
    factors: Factors
    tipping: Tipping
    evidence: tuple[Evidence, ...]
    model: str


class DeadLetter(Record):
    """A record that could not be read, or that broke a stage, kept whole."""

    SCHEMA: ClassVar[str] = "dead-letter/1"

    raw: str  # base64 of the record's value
    topic: str
    partition: int
    offset: int
    error: str
    stage: Literal["decode", "match", "score", "watch"]
    at: Instant


def schema_of(data: bytes) -> str:
    """The schema tag of an encoded record. Raises RecordError where there is none."""
    try:
        document: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("schema"), str):
        raise RecordError("schema: expected a JSON object with a `schema` field")
    return str(document["schema"])
