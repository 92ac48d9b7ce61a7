"""Settings: `undertone.yaml`, then `UNDERTONE_*` variables over it, then the command line.

Frozen, read in one place. A nested field's variable joins names with two underscores:
`UNDERTONE_KAFKA__SASL_PASSWORD`. Relative paths in a file are relative to that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from undertone.durations import DurationMs
from undertone.errors import ConfigurationError
from undertone.records import Kind, describe_validation

PANE_MS = 10_000
DEFAULT_FILE = Path("undertone.yaml")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """How to reach Kafka; the security options go to both clients."""

    bootstrap: str = "127.0.0.1:9092"
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


class FieldMapping(_Section):
    """One field of RawMessage: the name of a field in other people's JSON, or a constant."""

    const: str | int | None = None
    field: str | None = None


class RawTopic(_Section):
    """A raw topic to read."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    kind: Kind = Kind.OTHER
    clock: Literal["live", "recorded"] = "live"
    partitions: int = Field(default=2, ge=1, le=1000)


class ModelSettings(_Section):
    """The classifier."""

    path: str | None = Field(default=None, description="checkpoint; none is the bundled one")
    engine: Literal["auto", "onnx", "torch", "stub"] = "auto"
    threads: int = Field(default=2, ge=1, le=256)
    token_budget: int = Field(default=2048, ge=64)
    max_tokens: int = Field(default=128, ge=16, le=4096)
    cache_entries: int = Field(default=100_000, ge=0)


class MetricsSettings(_Section):
    """prometheus_client's own server; port 0 picks a free one, none serves nothing."""

    host: str = "127.0.0.1"
    score_port: int | None = 9108
    watch_port: int | None = 9109


class AlertmanagerSettings(_Section):
    """Where `watch` pushes alerts itself; none leaves it to the Prometheus rules."""

    url: str | None = None
    timeout: DurationMs = 5_000
    repeat: DurationMs = 60_000


class Settings(BaseSettings):
    """Everything that is not a watchlist or a rule."""

    model_config = SettingsConfigDict(
        env_prefix="UNDERTONE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    prefix: str = Field(default="undertone", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    kafka: KafkaSettings = KafkaSettings()
    raw_topics: tuple[RawTopic, ...] = ()
    mentions_partitions: int = Field(default=4, ge=1, le=1000)
    watchlist: Path | None = None
    rules: Path | None = None
    fields: dict[str, dict[str, FieldMapping]] = {}
    model: ModelSettings = ModelSettings()
    windows: tuple[DurationMs, ...] = (300_000, 3_600_000, 86_400_000)
    allowed_lateness: DurationMs = 3_600_000
    metrics: MetricsSettings = MetricsSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()

    @field_validator("fields", mode="before")
    @classmethod
    def _short_mappings(cls, value: object) -> object:
        """`text: full_text` is short for `text: {field: full_text}`."""
        if not isinstance(value, dict):
            return value
        return {
            pattern: {
                name: {"field": target} if isinstance(target, str) else target
                for name, target in mapping.items()
            }
            if isinstance(mapping, dict)
            else mapping
            for pattern, mapping in value.items()
        }

    @field_validator("windows")
    @classmethod
    def _windows_are_whole_panes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(window < PANE_MS or window % PANE_MS for window in value):
            raise ValueError(f"each window must be a multiple of {PANE_MS // 1000}s")
        return tuple(sorted(set(value)))

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
        """The environment stands above what a file says (files come in as init values)."""
        return env_settings, init_settings


def read_yaml(path: Path) -> Any:
    """One YAML document. Raises ConfigurationError that names the file and the line."""
    try:
        with path.open("rb") as file:
            return yaml.safe_load(file)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text ({error.reason})") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {error}") from None


def load_settings(
    path: Path | None = None, *, prefix: str | None = None, bootstrap: str | None = None
) -> Settings:
    """Read the settings; without `path`, `undertone.yaml` here if there is one, else defaults.

    `prefix` and `bootstrap` come from the command line and win over file and environment.
    Raises ConfigurationError that names the file and each wrong field.
    """
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    document = read_yaml(path) if path is not None else {}
    document = {} if document is None else document
    where = str(path) if path is not None else "environment"
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where}: expected a mapping of settings")
    if path is not None:
        for name in ("watchlist", "rules"):
            if isinstance(document.get(name), str):
                document[name] = path.parent / document[name]
    try:
        settings = Settings(**document)
    except (ValidationError, TypeError) as error:
        findings = describe_validation(error) if isinstance(error, ValidationError) else error
        raise ConfigurationError(f"{where}: {findings}") from None
    updates: dict[str, Any] = {}
    if prefix is not None:
        updates["prefix"] = prefix
    if bootstrap is not None:
        updates["kafka"] = settings.kafka.model_copy(update={"bootstrap": bootstrap})
    return settings.model_copy(update=updates)
