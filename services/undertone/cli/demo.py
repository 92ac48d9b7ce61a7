"""`undertone demo`: a real broker, score and watch as real processes, a stream through them all."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    PrefixOption,
    RulesOption,
)
from undertone.errors import UndertoneError, UsageError
from undertone.records import parse_instant

if TYPE_CHECKING:
    from undertone.demo.stream import DemoStream
    from undertone.settings import Settings

# How long a stream plays by default, whatever its recorded time.
SCENARIO_SECONDS = 45.0
STREAM_SECONDS = 75.0
FINISH_SECONDS = 240.0


class EngineName(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"
    STUB = "stub"


def command(
    *,
    scenario: Annotated[str, typer.Option(help="Which script; see `undertone simulate`.")] = "demo",
    seed: Annotated[int, typer.Option(help="Seed of the script.")] = 1,
    stream: Annotated[
        Path | None, typer.Option(help="Play this file (JSON lines or CSV, .gz) instead.")
    ] = None,
    watchlist: Annotated[
        Path | None, typer.Option(help="The subjects to read --stream about.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop the stream before this time (exclusive).")
    ] = None,
    rules: RulesOption = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long the stream plays, at least.")
    ] = None,
    engine: Annotated[EngineName | None, typer.Option(help="What runs the model.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="How many of each service.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    json_output: JsonOption = False,
) -> None:
    """Play a scripted crisis, or a stream of your own, and show what is found and why.

    Without --bootstrap a Kafka broker of its own is started. Ctrl-C stops everything.
    """
    if stream is not None and watchlist is None:
        raise UsageError("--stream needs --watchlist FILE: the subjects to read it about")
    from undertone.demo.screen import Screen, print_summary
    from undertone.demo.session import DemoSession
    from undertone.transport.embedded_broker import EmbeddedBroker
    from undertone.transport.topics import delete_topics

    console = Console(stderr=True)
    until_ms = None if until is None else _instant(until)
    folder = Path(tempfile.mkdtemp(prefix="undertone-demo-"))
    with ExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = _settings(config, prefix, bootstrap)
        played = _stream(stream, watchlist, until_ms, scenario, seed, settings, folder)
        if bootstrap is None:
            broker = EmbeddedBroker(folder / "broker" if keep else None, detached=keep)
            broker.start(lambda message: console.print(message, style="dim"))
            if not keep:
                stack.callback(broker.stop)
            settings = _settings(config, prefix or settings.prefix, broker.bootstrap)
        elif not keep:
            stack.callback(delete_topics, settings.kafka, settings.prefix)
        session = DemoSession(
            settings,
            played,
            folder,
            config=config,
            rules=rules,
            engine=engine.value if engine else None,
            outlives=keep,
        )
        stack.enter_context(session)
        session.start(scorers=workers, watchers=workers)
        screen = Screen(session, console)
        wanted = seconds or (SCENARIO_SECONDS if stream is None else STREAM_SECONDS)
        with screen.running():
            session.play(played.span_ms / 1000 / wanted, screen.refresh)
            result = session.finish(FINISH_SECONDS, screen.refresh)
        if json_output:
            print(json.dumps(result.to_json(), ensure_ascii=False))
        else:
            print_summary(result, Console())
        if keep:
            _say_what_runs(session, console)
        if not result.adds_up:
            raise UndertoneError(
                f"the accounting does not add up: {result.sent} sent, {result.counts}"
            )


def _settings(config: Path | None, prefix: str | None, bootstrap: str | None) -> Settings:
    """The user's settings with a fresh prefix and two raw topics of recorded time."""
    from undertone.ingest.service import in_recorded_time
    from undertone.settings import load_settings

    fresh = prefix or f"demo-{uuid.uuid4().hex[:8]}"
    settings = load_settings(config, prefix=fresh, bootstrap=bootstrap)
    return in_recorded_time(settings.model_copy(update={"raw_topics": ()}))


def _stream(
    path: Path | None,
    watchlist: Path | None,
    until_ms: int | None,
    scenario: str,
    seed: int,
    settings: Settings,
    folder: Path,
) -> DemoStream:
    from undertone.demo.stream import recorded_stream, scripted_stream
    from undertone.watchlist.subjects import load_watchlist

    if path is not None:
        assert watchlist is not None
        load_watchlist(watchlist)  # a fault in it is told before anything starts
        return recorded_stream(path, watchlist, settings.fields, until_ms)
    return scripted_stream(scenario, seed, folder)


def _instant(text: str) -> int:
    try:
        return parse_instant(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise UsageError(f"--until: {error}") from None


def _say_what_runs(session: object, console: Console) -> None:
    from undertone.demo.session import DemoSession

    assert isinstance(session, DemoSession)
    console.print(f"Kafka: {session.settings.kafka.bootstrap}, prefix {session.settings.prefix}")
    for name, process in sorted(session.services.items()):
        metrics = [line for line in process.log.read_text().splitlines() if "metrics:" in line]
        console.print(f"{name}: process {process.pid}, log {process.log}", *metrics[:1])
    console.print("End them with `kill`, and the broker with its own process id or Ctrl-C there.")
