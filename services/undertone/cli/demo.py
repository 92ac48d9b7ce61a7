"""`undertone demo`: a real broker, score and watch as real processes, a stream through them all."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    EngineName,
    JsonOption,
    PrefixOption,
    RulesOption,
)
from undertone.errors import UndertoneError, UsageError
from undertone.records import parse_instant

if TYPE_CHECKING:
    from undertone.demo.stream import DemoStream
    from undertone.settings import Settings
    from undertone.transport.embedded_broker import EmbeddedBroker

# How long a stream plays by default, whatever its recorded time.
SCENARIO_SECONDS = 45.0
STREAM_SECONDS = 75.0
FINISH_SECONDS = 240.0
SCENARIO = "demo"


def command(
    *,
    scenario: Annotated[
        str | None,
        typer.Option(help=f"Which script; see `undertone simulate --list` (default: {SCENARIO})."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the script.")] = 1,
    messages: Annotated[
        int | None, typer.Option(min=1, help="How many, instead of the script's usual.")
    ] = None,
    stream: Annotated[
        Path | None, typer.Option(help="Play this file (JSON lines or CSV, .gz) instead.")
    ] = None,
    watchlist: Annotated[
        Path | None, typer.Option(help="The subjects to read --stream about.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop --stream before this time (exclusive).")
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
    _refuse_misfits(stream, watchlist, until, scenario, messages)
    from undertone.alerting.rules import load_rules
    from undertone.demo.interrupts import interrupted_once
    from undertone.demo.screen import Screen, print_summary
    from undertone.demo.session import DemoSession, claim_prefix
    from undertone.transport.embedded_broker import EmbeddedBroker

    console = Console(stderr=True)
    until_ms = None if until is None else _instant(until)
    settings = _settings(config, prefix, bootstrap)
    load_rules(rules or settings.rules)  # a fault in any file is told before anything starts
    with interrupted_once() as from_now_on_ignored, ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="undertone-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Runs first of all: what follows takes seconds, and half of it would leave processes.
        stack.callback(from_now_on_ignored)
        played = (
            _recorded(stream, watchlist, settings, until_ms)
            if stream is not None and watchlist is not None
            else _scripted(scenario or SCENARIO, seed, messages, folder)
        )
        broker = None
        if bootstrap is None:
            broker = EmbeddedBroker(folder / "broker" if keep else None, detached=keep)
            stack.callback(broker.stop)
            broker.start(lambda message: console.print(message, style="dim"))
            settings = _settings(config, settings.prefix, broker.bootstrap)
        else:
            stack.callback(claim_prefix(settings))
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
        stack.callback(from_now_on_ignored)
        session.start(scorers=workers, watchers=workers)
        screen = Screen(session, console)
        wanted = seconds or (SCENARIO_SECONDS if stream is None else STREAM_SECONDS)
        with screen.running():
            session.play(played.span_ms / 1000 / wanted, screen.refresh)
            result = session.finish(FINISH_SECONDS, screen.refresh)
        if json_output:
            print(json.dumps(result.to_json(), ensure_ascii=False), flush=True)
        else:
            print_summary(result, Console())
        if not result.adds_up:
            raise UndertoneError(
                f"the accounting does not add up: {result.sent} sent, {result.counts}"
            )
        if keep:
            session.observer.stop()
            stack.pop_all()  # nothing of it is undone
            _say_what_runs(session, broker, console)


def _refuse_misfits(
    stream: Path | None,
    watchlist: Path | None,
    until: str | None,
    scenario: str | None,
    messages: int | None,
) -> None:
    """Raise UsageError for options that do not go together."""
    if stream is not None:
        if watchlist is None:
            raise UsageError("--stream needs --watchlist FILE: the subjects to read it about")
        for name, value in (("--scenario", scenario), ("--messages", messages)):
            if value is not None:
                raise UsageError(f"{name} is for scripts, and --stream plays a file: give one")
        return
    for name, file_or_time in (("--watchlist", watchlist), ("--until", until)):
        if file_or_time is not None:
            raise UsageError(
                f"{name} is for a stream of your own: name it with --stream FILE",
                hint="A script brings its own watchlist and end.",
            )


def _settings(config: Path | None, prefix: str | None, bootstrap: str | None) -> Settings:
    """The user's settings with a fresh prefix and two raw topics of recorded time."""
    from undertone.ingest.service import in_recorded_time
    from undertone.settings import load_settings

    fresh = prefix or f"demo-{uuid.uuid4().hex[:8]}"
    settings = load_settings(config, prefix=fresh, bootstrap=bootstrap)
    return in_recorded_time(settings.model_copy(update={"raw_topics": ()}))


def _recorded(path: Path, watchlist: Path, settings: Settings, until_ms: int | None) -> DemoStream:
    from undertone.demo.stream import recorded_stream
    from undertone.watchlist.subjects import load_watchlist

    load_watchlist(watchlist)
    return recorded_stream(path, watchlist, settings.fields, until_ms)


def _scripted(name: str, seed: int, messages: int | None, folder: Path) -> DemoStream:
    from undertone.demo.stream import scripted_stream

    return scripted_stream(name, seed, folder, messages)


def _instant(text: str) -> int:
    try:
        return parse_instant(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise UsageError(f"--until: {error}") from None


def _say_what_runs(session: object, broker: EmbeddedBroker | None, console: Console) -> None:
    from undertone.demo.session import DemoSession

    assert isinstance(session, DemoSession)
    lines = [f"Kafka: {session.settings.kafka.bootstrap}, prefix {session.settings.prefix}"]
    for name, process in sorted(session.services.items()):
        lines.append(f"{name}: process {process.pid}, log {process.log}")
        lines += [line for line in process.log.read_text().splitlines() if "metrics:" in line][:1]
    pids = " ".join(str(process.pid) for process in session.services.values())
    lines += ["", "To stop everything:", f"  kill {pids}"]
    if broker is not None:
        lines.append(f"  undertone broker stop --data-dir {broker.state.data_dir}")
    lines.append(f"  rm -r {session.folder}")
    for line in lines:  # as it is: a command that is wrapped cannot be copied
        console.print(line, markup=False, highlight=False, soft_wrap=True)
