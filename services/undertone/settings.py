"""Settings: `undertone.yaml`, then `UNDERTONE_*` variables over it, then the command line.

Frozen, and read in one place: only `load_settings` looks at the environment. A nested field's
variable joins names with two underscores: `UNDERTONE_KAFKA__SASL_PASSWORD`; lists and mappings are
JSON: `UNDERTONE_RAW_TOPICS='[{"name": "tweets", "kind": "social"}]'`; empty variables are as none.
Relative paths in a file are relative to that file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from undertone.config_files import (
    ConfigSection,
    Place,
    describe_findings,
    dotted,
    read_yaml,
    refuse_unknown_fields,
)
from undertone.durations import DurationMs
from undertone.errors import ConfigurationError
from undertone.records import Kind, RawMessage

PANE_MS = 10_000
DEFAULT_FILE = Path("undertone.yaml")
ENV_PREFIX = "UNDERTONE_"
KAFKA_PORT = 9092
DEFAULT_MODEL = "default"
OWN_TOPICS = ("mentions", "trends", "alerts", "dead-letters")

_BROKER = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/@\[\]]+)(:(?P<port>\d{1,5}))?")


def _brokers(value: str) -> str:
    """`HOST:PORT[,HOST:PORT]` without spaces. Raises ValueError for anything else."""
    parts = [part.strip() for part in value.split(",")]
    for part in parts:
        match = _BROKER.fullmatch(part)
        if not match or not 0 < int(match["port"] or KAFKA_PORT) < 65_536:
            raise ValueError(f"cannot read {part[:80]!r} as a broker; expected HOST:PORT")
    return ",".join(parts)


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", value):
        raise ValueError("expected an address such as http://localhost:9093")
    return value.rstrip("/")


def _language(value: str) -> str:
    if not re.fullmatch(rf"[a-z]{{2,3}}|{DEFAULT_MODEL}", value):
        raise ValueError(f"expected a language as a code such as zh, or {DEFAULT_MODEL}")
    return value


Language = Annotated[str, AfterValidator(_language)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class KafkaSettings(ConfigSection):
    """How to reach Kafka; the security options go to both clients."""

    bootstrap: Annotated[str, AfterValidator(_brokers)] = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: SecretStr | None = None

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError(
                "security_protocol with SASL needs sasl_mechanism, sasl_username and sasl_password"
            )
        return self


class FieldMapping(ConfigSection):
    """One field of RawMessage: the name of a field in other people's JSON, or a constant.

    Written as {field: full_text}, in short `full_text`, or as {const: wire}.
    """

    const: str | int | None = None
    field: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"field": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.const is None) == (self.field is None):
            raise ValueError("expected the name of a field, {field: NAME} or {const: VALUE}")
        return self


class RawTopic(ConfigSection):
    """A raw topic to read."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kind: Kind = Kind.OTHER
    clock: Literal["live", "recorded"] = "live"
    partitions: int = Field(default=2, ge=1, le=1000)


class ModelSettings(ConfigSection):
    """The classifier."""

    path: str | None = Field(default=None, description="checkpoint; none is the bundled one")
    engine: Literal["auto", "onnx", "torch", "stub"] = "auto"
    threads: int = Field(default=2, ge=1, le=256)
    token_budget: int | None = Field(
        default=None, ge=64, description="tokens in a batch; none is the engine's own choice"
    )
    max_tokens: int = Field(default=128, ge=16, le=4096)
    cache_entries: int = Field(default=100_000, ge=0)


class MetricsSettings(ConfigSection):
    """prometheus_client's own server; port 0 picks a free one, none serves nothing."""

    host: str = "127.0.0.1"
    score_port: Port | None = 9108
    watch_port: Port | None = 9109


class ServingSettings(ConfigSection):
    """`undertone serve`; port 0 picks a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 9110
    token: SecretStr | None = Field(
        default=None, min_length=1, description="what clients must send; none asks for none"
    )
    max_body_bytes: int = Field(default=1 << 20, ge=1024, le=1 << 24)
    max_pairs: int = Field(default=256, ge=1, description="in one request")
    max_text_bytes: int = Field(default=1 << 16, ge=1)
    queue_pairs: int = Field(default=4096, ge=1, description="that wait for the model")
    timeout: DurationMs = Field(default=20_000, gt=0)

    @model_validator(mode="after")
    def _a_full_request_fits_the_queue(self) -> Self:
        if self.max_pairs > self.queue_pairs:
            raise ValueError("queue_pairs must not be less than max_pairs")
        return self

    @property
    def is_open_to_all(self) -> bool:
        """Whether other machines may ask, without a token."""
        return self.token is None and self.host not in ("127.0.0.1", "::1", "localhost")


class AlertmanagerSettings(ConfigSection):
    """Where `watch` pushes alerts itself; none leaves it to the Prometheus rules."""

    url: Annotated[str, AfterValidator(_http_url)] | None = None
    timeout: DurationMs = 5_000
    repeat: DurationMs = 60_000


class BoardSettings(ConfigSection):
    """`undertone board`; port 0 picks a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 9111
    url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, description="where people reach it; links in notifications begin with it"
    )


class Settings(BaseSettings):
    """Everything that is not a watchlist or a rule."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        validate_default=False,  # a default duration is a number already
    )

    prefix: str = Field(default="undertone", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    kafka: KafkaSettings = KafkaSettings()
    raw_topics: tuple[RawTopic, ...] = ()
    mentions_partitions: int = Field(default=4, ge=1, le=1000)
    watchlist: Path | None = None
    rules: Path | None = None
    fields: dict[str, dict[str, FieldMapping]] = {}
    model: ModelSettings = ModelSettings()
    models: dict[Language, Annotated[str, Field(min_length=1)]] = {}
    windows: tuple[DurationMs, ...] = (300_000, 3_600_000, 86_400_000)
    allowed_lateness: DurationMs = 3_600_000
    metrics: MetricsSettings = MetricsSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    serving: ServingSettings = ServingSettings()
    board: BoardSettings = BoardSettings()

    @model_validator(mode="before")
    @classmethod
    def _fields_are_known(cls, document: object) -> object:
        refuse_unknown_fields(document, cls.model_fields)
        return document

    @field_validator("raw_topics")
    @classmethod
    def _raw_topics_are_unique(cls, value: tuple[RawTopic, ...]) -> tuple[RawTopic, ...]:
        counts = Counter(topic.name for topic in value)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"each topic may stand once; named again: {', '.join(twice)}")
        return value

    @field_validator("fields", mode="before")
    @classmethod
    def _mapped_fields_are_known(cls, value: object) -> object:
        for mapping in value.values() if isinstance(value, dict) else ():
            refuse_unknown_fields(mapping, RawMessage.model_fields)
        return value

    @field_validator("windows")
    @classmethod
    def _windows_are_whole_panes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(window < PANE_MS or window % PANE_MS for window in value):
            raise ValueError(f"each window must be a multiple of {PANE_MS // 1000}s")
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _raw_topics_are_not_our_own(self) -> Self:
        own = {f"{self.prefix}.{name}" for name in OWN_TOPICS}
        for topic in self.raw_topics:
            if topic.name in own:
                raise ValueError(f"raw_topics: {topic.name} is a topic that undertone writes")
        return self

    @model_validator(mode="after")
    def _the_default_model_is_named_once(self) -> Self:
        if self.model.path is not None and DEFAULT_MODEL in self.models:
            raise ValueError("model.path and models.default are the same setting; name one")
        return self

    @property
    def model_paths(self) -> dict[str, str | None]:
        """Checkpoint by language: `default` first (None: the bundled one)."""
        return {DEFAULT_MODEL: self.model.path, **self.models}

    @property
    def effective_raw_topics(self) -> tuple[RawTopic, ...]:
        """The raw topics named, or the two of this prefix."""
        return self.raw_topics or (
            RawTopic(name=f"{self.prefix}.raw.news", kind=Kind.NEWS),
            RawTopic(name=f"{self.prefix}.raw.social", kind=Kind.SOCIAL),
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: `load_settings` adds the environment, and nothing else does."""
        return (init_settings,)


def load_settings(
    path: Path | None = None, *, prefix: str | None = None, bootstrap: str | None = None
) -> Settings:
    """Read the settings; without `path`, `undertone.yaml` here if there is one, else defaults.

    `prefix` and `bootstrap` come from the command line and win over file and environment.
    Raises ConfigurationError that names each wrong field, variable or option.
    """
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    document = _read_document(path) if path is not None else {}
    environment = _read_environment()
    options: dict[str, Any] = {}
    if prefix is not None:
        options["prefix"] = prefix
    if bootstrap is not None:
        options["kafka"] = {"bootstrap": bootstrap}
    try:
        return Settings(**_merged(_merged(document, environment), options))
    except ValidationError as error:
        where = partial(_where, path, document, environment, options)
        raise ConfigurationError(describe_findings(error, where)) from None


def _read_document(path: Path) -> dict[str, Any]:
    """The file as a mapping, with its relative paths made relative to it."""
    document = read_yaml(path)
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise ConfigurationError(f"{path}: expected a mapping of settings")
    _anchor(document, ("watchlist", "rules"), path.parent)
    if isinstance(kafka := document.get("kafka"), dict):
        _anchor(kafka, ("ssl_cafile", "ssl_certfile", "ssl_keyfile"), path.parent)
    if isinstance(model := document.get("model"), dict):
        _anchor_models(model, ("path",), path.parent)
    if isinstance(models := document.get("models"), dict):
        _anchor_models(models, tuple(models), path.parent)
    return document


def _anchor(section: dict[str, Any], names: tuple[str, ...], folder: Path) -> None:
    for name in names:
        if isinstance(section.get(name), str):
            section[name] = folder / Path(section[name]).expanduser()


def _anchor_models(section: dict[str, Any], names: tuple[str, ...], folder: Path) -> None:
    """A model may be a hub name (`org/name`), so only `./x` and `../x` are surely paths."""
    for name in names:
        if isinstance(section.get(name), str) and section[name].startswith("."):
            section[name] = str((folder / section[name]).absolute())


def _read_environment() -> dict[str, Any]:
    """What the UNDERTONE_* variables say, nested as in a file."""
    try:
        return dict(EnvSettingsSource(Settings)())
    except SettingsError as error:
        match = re.search(r'field "(\w+)"', str(error))
        name = ENV_PREFIX + (match[1].upper() if match else "*")
        raise ConfigurationError(
            f"{name}: is not valid JSON ({error.__cause__})",
            hint="""lists and mappings are JSON: '["5m", "1h"]' or '{"name": "value"}'""",
        ) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings as one; where both have a value that is no mapping, `above` wins."""
    merged = {**below, **above}
    for name, old in below.items():
        new = above.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            merged[name] = _merged(old, new)
    return merged


def _where(
    path: Path | None,
    document: Mapping[str, Any],
    environment: Mapping[str, Any],
    options: Mapping[str, Any],
    place: Place,
) -> str:
    """Who said what stands at this place: an option, a variable, or a field of the file."""
    if _says(options, place) == "value":
        return f"--{place[-1]}"
    variable = ENV_PREFIX + "__".join(str(step).upper() for step in place)
    in_environment = _says(environment, place)
    if in_environment == "value" or (in_environment == "part" and not _says(document, place)):
        return variable
    field = dotted(place) + (f" (with {variable}__…)" if in_environment else "")
    return ": ".join(filter(None, [str(path) if path is not None else "", field]))


def _says(document: Mapping[str, Any], place: Place) -> Literal["value", "part"] | None:
    """Whether the document gives the value at this place, a part of it, or nothing."""
    value: Any = document
    for step in place:
        if not isinstance(value, Mapping):
            return "value"
        if step not in value:
            return None
        value = value[step]
    if not place:
        return None
    return "part" if isinstance(value, Mapping) else "value"
