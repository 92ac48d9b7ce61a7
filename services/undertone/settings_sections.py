"""The sections of `undertone.yaml`; a field's docstring is its line in docs/configuration.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from undertone.config_files import ConfigSection
from undertone.durations import DurationMs
from undertone.records import Kind

KAFKA_PORT = 9092
DEFAULT_MODEL = "default"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

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


def _secret_url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"https?://[^/?#@\s]+(/\S*)?", value.get_secret_value()):
        raise ValueError("expected the robot's address: https://…")
    return value


def _language(value: str) -> str:
    if not re.fullmatch(rf"[a-z]{{2,3}}|{DEFAULT_MODEL}", value):
        raise ValueError(f"expected a language as a code such as zh, or {DEFAULT_MODEL}")
    return value


Language = Annotated[str, AfterValidator(_language)]
Port = Annotated[int, Field(ge=0, le=65_535)]
# An address that lets whoever knows it speak.
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]


class KafkaSettings(ConfigSection):
    """How to reach Kafka; the security options go to both clients."""

    bootstrap: Annotated[str, AfterValidator(_brokers)] = "127.0.0.1:9092"
    """`HOST:PORT[,HOST:PORT]`"""
    patience: DurationMs = 60_000
    """how long `score`, `watch` and `board` wait at their start for a broker that comes late"""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """serves both Kafka clients; certificates and host names are always verified"""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """with a `SASL_…` protocol this and the next two"""
    sasl_username: str | None = None
    """who we are"""
    sasl_password: SecretStr | None = None
    """better in a variable"""
    ssl_cafile: Path | None = None
    """PEM: whom we trust; none: the authorities of the system"""
    ssl_certfile: Path | None = None
    """PEM: our certificate, where the broker asks for one"""
    ssl_keyfile: Path | None = None
    """PEM: its key"""
    ssl_password: SecretStr | None = None
    """of the key"""

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
    """the same value for every message"""
    field: str | None = Field(default=None, min_length=1)
    """the name of a field of theirs; dots reach into objects"""

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
    """of the topic"""
    kind: Kind = Kind.OTHER
    """of its messages, where they name none"""
    clock: Literal["live", "recorded"] = "live"
    """`recorded` where times come from a recording, not from the wall clock"""
    partitions: int = Field(default=2, ge=1, le=1000)
    """that it has"""


class ModelSettings(ConfigSection):
    """The classifier."""

    path: str | None = Field(default=None, description="checkpoint; none is the bundled one")
    engine: Literal["auto", "onnx", "torch", "stub"] = "auto"
    """`auto`: torch where there is CUDA, else ONNX; `stub`: a word list, for tests"""
    threads: int = Field(default=2, ge=1, le=256)
    """of the CPU"""
    token_budget: int | None = Field(default=None, ge=64)
    """tokens in a batch, padding included; none is the engine's own choice"""
    max_tokens: int = Field(default=128, ge=16, le=4096)
    """of one text with its target"""
    cache_entries: int = Field(default=100_000, ge=0)
    """answers kept for equal texts; 0: none"""


class MetricsSettings(ConfigSection):
    """prometheus_client's own server; port 0 picks a free one, none serves nothing."""

    host: str = "127.0.0.1"
    """where `/metrics`, `/livez` and `/readyz` are served"""
    score_port: Port | None = 9108
    """of `score`; 0 picks a free one, `null` serves nothing"""
    watch_port: Port | None = 9109
    """of `watch`"""


class ServingSettings(ConfigSection):
    """`undertone serve`; port 0 picks a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """0.0.0.0 lets other machines ask: set a token"""
    port: Port = 9110
    """0 picks a free one"""
    token: SecretStr | None = Field(
        default=None, min_length=1, description="what clients must send; none asks for none"
    )
    max_body_bytes: int = Field(default=1 << 20, ge=1024, le=1 << 24)
    """of one request"""
    max_pairs: int = Field(default=256, ge=1, description="in one request")
    max_text_bytes: int = Field(default=1 << 16, ge=1)
    """of each text or target"""
    messages: bool = Field(default=True, description="whether POST /v1/messages is taken")
    max_messages: int = Field(default=1000, ge=1, description="in one request")
    queue_pairs: int = Field(default=4096, ge=1, description="that wait for the model")
    timeout: DurationMs = Field(default=20_000, gt=0)
    """of a request, and of the end of the service"""

    @model_validator(mode="after")
    def _a_full_request_fits_the_queue(self) -> Self:
        if self.max_pairs > self.queue_pairs:
            raise ValueError("queue_pairs must not be less than max_pairs")
        return self

    @property
    def is_open_to_all(self) -> bool:
        """Whether other machines may ask, without a token."""
        return self.token is None and self.host not in LOOPBACK


class WatchSettings(ConfigSection):
    """How a `watch` worker stands in its consumer group."""

    instance_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Kafka's group.instance.id: a worker that comes back under it in time causes "
        "no rebalance; unique to each worker",
    )
    session_timeout: DurationMs = Field(
        default=10_000, ge=6_000, le=1_800_000, description="until a silent worker counts as gone"
    )


class AlertmanagerSettings(ConfigSection):
    """Where `watch` pushes alerts itself; none leaves it to the Prometheus rules."""

    url: Annotated[str, AfterValidator(_http_url)] | None = None
    """of Alertmanager itself; none leaves alerts to the Prometheus rules"""
    timeout: DurationMs = 5_000
    """of a push"""
    repeat: DurationMs = 60_000
    """a firing alert is pushed again this often"""


class BoardSettings(ConfigSection):
    """`undertone board`; port 0 picks a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """0.0.0.0 lets other machines look: set a token"""
    port: Port = 9111
    """0 picks a free one"""
    url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, description="where people reach it; links in notifications begin with it"
    )
    token: SecretStr | None = Field(
        default=None, min_length=1, description="what browsers must send; none asks for none"
    )
    past: DurationMs = Field(
        default=30 * 86_400_000, gt=0, description="how much of the trends is read at the start"
    )

    @property
    def is_open_to_all(self) -> bool:
        """Whether other machines may look, without a token."""
        return self.token is None and self.host not in LOOPBACK


class WeComSettings(ConfigSection):
    """A group robot of WeCom."""

    url: SecretUrl = Field(description="its webhook, which holds its key")


class DingTalkSettings(ConfigSection):
    """A group robot of DingTalk."""

    url: SecretUrl = Field(description="its webhook, which holds its access token")
    secret: SecretStr | None = Field(
        default=None, min_length=1, description="SEC…, where its security setting is to sign"
    )


class NotifySettings(ConfigSection):
    """`undertone notify`; port 0 picks a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """0.0.0.0 lets other machines post: set a token"""
    port: Port = 9112
    """0 picks a free one"""
    token: SecretStr | None = Field(
        default=None, min_length=1, description="what Alertmanager must send; none asks for none"
    )
    timeout: DurationMs = Field(default=5_000, gt=0, description="of one robot's answer")
    wecom: WeComSettings | None = None
    """a group robot of WeCom"""
    dingtalk: DingTalkSettings | None = None
    """a group robot of DingTalk"""

    @property
    def is_open_to_all(self) -> bool:
        """Whether other machines may post, without a token."""
        return self.token is None and self.host not in LOOPBACK


class GrafanaSettings(ConfigSection):
    """Where `undertone dashboards` pushes; a token, or a user with a password."""

    url: Annotated[str, AfterValidator(_http_url)] | None = None
    """of Grafana"""
    token: SecretStr | None = Field(default=None, min_length=1)
    """of a service account; better in a variable"""
    user: str | None = Field(default=None, min_length=1)
    """instead of a token, with `password`"""
    password: SecretStr | None = Field(default=None, min_length=1)
    """better in a variable"""
    folder: str = Field(default="Undertone", min_length=1, max_length=100)
    """that the dashboards are put into"""
    prometheus: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, description="where Grafana reaches Prometheus; none leaves data sources alone"
    )

    @field_validator("url")
    @classmethod
    def _url_holds_no_password(cls, value: str | None) -> str | None:
        if value is not None and "@" in value.split("://", 1)[1].split("/", 1)[0]:
            raise ValueError("leave user and password out of the address; give them beside it")
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.token is not None and self.user is not None:
            raise ValueError("give a token, or a user with a password, not both")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        return self
