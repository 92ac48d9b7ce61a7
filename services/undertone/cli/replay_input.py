"""What `undertone replay` reads: its options as a range and a source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from undertone.cli.options import EngineName
from undertone.durations import parse_duration
from undertone.errors import UsageError
from undertone.records import parse_instant

if TYPE_CHECKING:
    from undertone.replay.kafka_log import Offsets
    from undertone.replay.reading import Model
    from undertone.replay.steps import Source, Span
    from undertone.replay.store import Store
    from undertone.settings import Settings
    from undertone.watchlist.subjects import Watchlist

OFFSET = "offset:"


@dataclass(frozen=True)
class Range:
    """--from and --to, each a time or offsets."""

    span: Span
    begin: Offsets | None
    end: Offsets | None


@dataclass(frozen=True)
class Input:
    """What is read, and how."""

    files: list[Path]
    topics: list[str]
    delay_ms: int
    merge: bool
    as_scored: bool | None
    engine: EngineName | None
    model: str | None


def range_of(start: str | None, end: str | None, warm_up_ms: int) -> Range:
    from undertone.replay.steps import Span

    begin_offsets, begin_ms = _place("--from", start)
    end_offsets, end_ms = _place("--to", end)
    return Range(Span(begin_ms, end_ms, warm_up_ms), begin_offsets, end_offsets)


def _place(option: str, value: str | None) -> tuple[Offsets | None, int | None]:
    """`offset:120` and `offset:0=120,1=98` are offsets; all else is a time."""
    from undertone.replay.kafka_log import Offsets

    if value is None:
        return None, None
    if not value.startswith(OFFSET):
        return None, instant_of(option, value)
    text = value.removeprefix(OFFSET)
    try:
        if "=" not in text:
            return Offsets(every=int(text)), None
        parts = (part.split("=") for part in text.split(","))
        return Offsets(by_partition={int(place): int(at) for place, at in parts}), None
    except ValueError:
        raise UsageError(
            f"{option} {value}: expected offset:N for every partition, or offset:0=N,1=N"
        ) from None


def instant_of(option: str, value: str) -> int:
    """A time in ms; a bare date is its midnight in UTC."""
    try:
        return parse_instant(value if "T" in value else f"{value}T00:00:00Z")
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def duration_of(option: str, value: str) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def source_of(
    given: Input, asked: Range, settings: Settings, subjects: Watchlist, store: Store
) -> Source:
    """The source that the command line names."""
    from undertone.replay.reading import RawSteps, StoredScores
    from undertone.replay.sources import FileSource, RawTopicSource, file_topic
    from undertone.scoring.pipeline import Reader
    from undertone.scoring.routing import LanguageRouter, load_detector
    from undertone.settings import RawTopic
    from undertone.transport.topics import TopicNames
    from undertone.watchlist.matcher import Matcher

    mentions = TopicNames(settings.prefix).mentions
    scored = [name for name in given.topics if name == mentions or name.endswith(".mentions")]
    if scored:
        return _mentions_source(given, asked, scored, settings)
    if given.as_scored:
        raise UsageError(
            "--as-scored: a raw topic or a file holds no scores",
            hint=f"Give --topic {mentions} to keep the scores as they were recorded.",
        )
    known = {topic.name: topic for topic in settings.effective_raw_topics}
    topics = [known.get(name) or RawTopic(name=name) for name in given.topics]
    if given.files:
        topics = [file_topic(given.files)]
    models = models_of(given, settings)
    languages = [route for route in models if route != "default"]
    router = LanguageRouter(languages, load_detector(languages)) if languages else None
    reader = Reader(Matcher(subjects), topics, settings.fields, settings.model.max_tokens, router)
    reading = RawSteps(reader, StoredScores(models, store), asked.span)
    identity = json.dumps(
        [
            subjects.model_dump(mode="json"),
            {route: model.key for route, model in models.items()},
            settings.model.max_tokens,
            [topic.model_dump(mode="json") for topic in topics],
            {
                name: {field: rule.model_dump() for field, rule in mapping.items()}
                for name, mapping in settings.fields.items()
            },
        ],
        sort_keys=True,
    )
    if given.files:
        return FileSource(
            given.files,
            reading,
            settings.fields,
            asked.span,
            delay_ms=given.delay_ms,
            merge=given.merge,
            reading_identity=identity,
        )
    return RawTopicSource(
        settings.kafka,
        given.topics,
        reading,
        asked.span,
        begin=asked.begin,
        end=asked.end,
        reading_identity=identity,
    )


def _mentions_source(given: Input, asked: Range, scored: list[str], settings: Settings) -> Source:
    from undertone.replay.mentions_source import MentionsSource

    if given.as_scored is False:
        raise UsageError(
            f"--rescore: {scored[0]} holds scores, not the texts to read again",
            hint="Give the raw topic or a file instead.",
        )
    if len(given.topics) > 1:
        raise UsageError(f"--topic {scored[0]}: a mentions topic is replayed alone")
    return MentionsSource(settings.kafka, scored[0], asked.span, begin=asked.begin, end=asked.end)


def models_of(given: Input, settings: Settings) -> dict[str, Model]:
    """What reads the texts, by route; nothing is loaded before a text must be read."""
    from undertone.cli.classifiers import load_named
    from undertone.replay.reading import Model
    from undertone_models.checkpoint import Checkpoint, resolve
    from undertone_models.classifier import StubClassifier

    engine = given.engine.value if given.engine else settings.model.engine
    options = settings.model
    paths = settings.model_paths
    if given.model is not None:
        paths["default"] = given.model

    models = {}
    for route, path in paths.items():
        name = StubClassifier.name if engine == "stub" else Checkpoint.load(resolve(path)).name
        key = f"{name} {engine} {options.max_tokens}"
        load = partial(load_named, options, given.engine, path, batch_a_thread=True)
        models[route] = Model(name, key, load)
    return models
