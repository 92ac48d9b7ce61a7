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

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from undertone.config_files import (
    Place,
    describe_findings,
    dotted,
    read_yaml,
    refuse_unknown_fields,
)
from undertone.durations import DurationMs
from undertone.errors import ConfigurationError
from undertone.records import Kind, RawMessage
from undertone.settings_sections import (
    DEFAULT_MODEL,
    AlertmanagerSettings,
    BoardSettings,
    DingTalkSettings,
    FieldMapping,
    GrafanaSettings,
    KafkaSettings,
    Language,
    MetricsSettings,
    ModelSettings,
    NotifySettings,
    RawTopic,
    ServingSettings,
    WatchSettings,
    WeComSettings,
)

__all__ = [
    "DEFAULT_MODEL",
    "AlertmanagerSettings",
    "BoardSettings",
    "DingTalkSettings",
    "FieldMapping",
    "GrafanaSettings",
    "KafkaSettings",
    "MetricsSettings",
    "ModelSettings",
    "NotifySettings",
    "RawTopic",
    "ServingSettings",
    "Settings",
    "WatchSettings",
    "WeComSettings",
    "load_settings",
]

PANE_MS = 10_000
DEFAULT_FILE = Path("undertone.yaml")
ENV_PREFIX = "UNDERTONE_"
OWN_TOPICS = ("mentions", "trends", "alerts", "dead-letters")


class Settings(BaseSettings):
    """Everything that is not a watchlist or a rule."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=False,  # a default duration is a number already
    )

    prefix: str = Field(default="undertone", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """begins the name of every topic and group of ours"""
    kafka: KafkaSettings = KafkaSettings()
    """how to reach Kafka"""
    raw_topics: tuple[RawTopic, ...] = ()
    """a list of topics to read; none: `PREFIX.raw.news` and `PREFIX.raw.social`"""
    mentions_partitions: int = Field(default=4, ge=1, le=1000)
    """of mentions, trends and the watcher's state; fixed for a prefix's life"""
    watchlist: Path | None = None
    """the file with the subjects"""
    rules: Path | None = None
    """the file with the rules; none: those that come with undertone"""
    fields: dict[str, dict[str, FieldMapping]] = {}
    """other people's JSON, by topic or file name: see [fields](#fields)"""
    model: ModelSettings = ModelSettings()
    """the classifier"""
    models: dict[Language, Annotated[str, Field(min_length=1)]] = {}
    """checkpoints by language, `{default: ./english, zh: ./chinese}`, where one does not read them
    all; `default` is `model.path` under another name
    """
    windows: tuple[DurationMs, ...] = (300_000, 3_600_000, 86_400_000)
    """sliding windows that trends are told in, multiples of `10s`; rules may use others"""
    allowed_lateness: DurationMs = 3_600_000
    """a message published longer than this before its arrival is late: counted, and kept out of
    windows
    """
    metrics: MetricsSettings = MetricsSettings()
    """where metrics are served"""
    watch: WatchSettings = WatchSettings()
    """how a watcher stands in its group"""
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    """where `watch` pushes alerts"""
    serving: ServingSettings = ServingSettings()
    """`undertone serve`"""
    board: BoardSettings = BoardSettings()
    """`undertone board`"""
    notify: NotifySettings = NotifySettings()
    """`undertone notify`"""
    grafana: GrafanaSettings = GrafanaSettings()
    """where `undertone dashboards` pushes"""

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
