"""`undertone replay`: what would have fired, when, on what evidence, how often wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.model_errors import model_errors
from undertone.cli.options import (
    INTERRUPTED,
    BootstrapOption,
    ConfigOption,
    EngineName,
    JsonOption,
    PrefixOption,
    RulesOption,
    WatchlistOption,
)
from undertone.cli.replay_input import Input, Range, duration_of, range_of, source_of
from undertone.cli.replay_screen import print_result, watched
from undertone.errors import ConfigurationError, UsageError


def command(
    *,
    file: Annotated[
        list[Path] | None, typer.Option(help="JSON lines or CSV, .gz too; may be repeated.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="A raw topic (may be repeated), or the mentions topic."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Arrivals at or after this time, or offset:N (see docs)."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Arrivals before this time, or offset:N.")
    ] = None,
    watchlist: WatchlistOption = None,
    rules: RulesOption = None,
    events: Annotated[
        Path | None, typer.Option(help="What truly happened: TSV or JSON lines.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("replay"),
    delay: Annotated[
        str, typer.Option(help="Arrival after publication, where a row has no arrived_at.")
    ] = "0s",
    merge: Annotated[
        bool, typer.Option("--merge-by-id", help="Rows of one id and moment are one message.")
    ] = False,
    warm_up: Annotated[
        str, typer.Option(help="Read before --from; its alerts are dropped.")
    ] = "28d",
    as_scored: Annotated[
        bool | None,
        typer.Option(
            "--as-scored/--rescore",
            help="Keep the recorded scores (a mentions topic), or read with today's model "
            "(a raw topic or a file).",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[EngineName | None, typer.Option(help="What runs the model.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint (default: the bundled one).")
    ] = None,
    sweep: Annotated[Path | None, typer.Option(help="A grid of rule parameters to try.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, help="Processes of a sweep or a second replay (default: all cores)."
        ),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Where scores are kept (default: in the user's cache).")
    ] = None,
    overlay: Annotated[
        list[str] | None,
        typer.Option(help="CSV with time,value, drawn in the report: FILE or SUBJECT=FILE."),
    ] = None,
    openmetrics: Annotated[
        Path | None, typer.Option(help="Also write the series with their own times, for promtool.")
    ] = None,
    report_from_prefix: Annotated[
        str | None,
        typer.Option(help="Only report what score and watch under this prefix have written."),
    ] = None,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    json_output: JsonOption = False,
) -> None:
    """Run history through the live code, and report what it would have told.

    Reads in place: no consumer group, no commits, no writes to Kafka. Writes DIR/report.html,
    report.json, alerts.jsonl and trends.parquet. Ctrl-C leaves a report of what was done so far.
    """
    from undertone.alerting.rules import load_rules
    from undertone.replay.overlays import read_overlay
    from undertone.replay.session import Order, replay_source, report_written
    from undertone.replay.store import Store, default_store
    from undertone.replay.sweep_grid import read_sweep
    from undertone.settings import load_settings
    from undertone.truth import read_truth
    from undertone.watch.core import WatchConfig
    from undertone.watchlist.subjects import load_watchlist

    given = Input(
        file or [],
        topic or [],
        delay_ms=duration_of("--delay", delay),
        merge=merge,
        as_scored=as_scored,
        engine=engine,
        model=model,
    )
    asked = range_of(from_, to, duration_of("--warm-up", warm_up))
    _check(given, asked, report_from_prefix, sweep)
    settings = load_settings(config, prefix=report_from_prefix or prefix, bootstrap=bootstrap)
    watchlist = watchlist or settings.watchlist
    if watchlist is None:
        raise ConfigurationError(
            "no watchlist is named", hint="Set `watchlist` in undertone.yaml, or give --watchlist."
        )
    subjects = load_watchlist(watchlist)
    rule_set = load_rules(rules or settings.rules)
    order = Order(
        asked.span,
        WatchConfig.of(settings, rule_set, subjects),
        out,
        events=None if events is None else read_truth(events),
        overlays=[read_overlay(option) for option in overlay or []],
        openmetrics=openmetrics,
        sweep=[] if sweep is None else read_sweep(sweep, rule_set),
        workers=workers,
    )
    console = Console(stderr=True)
    with watched(console) as watching, model_errors():
        if report_from_prefix is not None:
            result = report_written(settings, order, watching)
        else:
            with Store(store or default_store()) as opened:
                source = source_of(given, asked, settings, subjects, opened)
                result = replay_source(source, opened, order, watching)
    if json_output:
        print(json.dumps(result.as_json()))
    else:
        print_result(result, out)
    if result.partial:
        raise typer.Exit(INTERRUPTED)


def _check(given: Input, asked: Range, report_from_prefix: str | None, sweep: Path | None) -> None:
    """Refuse what does not go together."""
    inputs = [bool(given.files), bool(given.topics), report_from_prefix is not None]
    if sum(inputs) != 1:
        raise UsageError("expected one of --file, --topic and --report-from-prefix")
    if (asked.begin or asked.end) and not given.topics:
        raise UsageError("--from, --to: only a topic has offsets; give a time")
    if report_from_prefix is not None and sweep is not None:
        raise UsageError(
            "--sweep: needs the messages themselves, not only what was found in them",
            hint="Give --topic PREFIX.mentions.",
        )
    start, until = asked.span.from_ms, asked.span.until_ms
    if start is not None and until is not None and start >= until:
        raise UsageError("--to: must be later than --from")
    for path in given.files:
        if not path.is_file():
            raise UsageError(f"--file {path}: there is no such file")
