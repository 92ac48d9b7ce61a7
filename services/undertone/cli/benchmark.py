"""`undertone benchmark`: how good the detection is, beside what people use today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.benchmark_tables import print_alerts, print_nab
from undertone.cli.model_errors import model_errors
from undertone.cli.options import (
    INTERRUPTED,
    ConfigOption,
    JsonOption,
    RulesOption,
    WatchlistOption,
)
from undertone.cli.replay_input import Input, Range, source_of
from undertone.cli.replay_screen import watched
from undertone.errors import ConfigurationError, UsageError

app = typer.Typer(
    help="Measure the detection on recorded streams with known events.", no_args_is_help=True
)


@app.command()
def alerts(
    *,
    stream: Annotated[Path, typer.Option(help="Recorded messages: JSON lines or CSV, .gz too.")],
    watchlist: WatchlistOption = None,
    events: Annotated[
        Path | None, typer.Option(help="What truly happened: TSV or JSON lines.")
    ] = None,
    rules: RulesOption = None,
    config: ConfigOption = None,
    store: Annotated[
        Path | None, typer.Option(help="Where scores are kept (default: in the user's cache).")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Hold our alerts, and those of simple detectors at their best, against what truly happened.

    Plays the stream once, as `replay` does; rows of one id and moment are one message.
    """
    from undertone.alerting.rules import load_rules
    from undertone.benchmark.alerts import benchmark_alerts
    from undertone.replay.steps import Span
    from undertone.replay.store import Store, default_store
    from undertone.settings import load_settings
    from undertone.truth import read_truth
    from undertone.watch.core import WatchConfig
    from undertone.watchlist.subjects import load_watchlist

    if not stream.is_file():
        raise UsageError(f"--stream {stream}: there is no such file")
    settings = load_settings(config)
    watchlist = watchlist or settings.watchlist
    if watchlist is None:
        raise ConfigurationError(
            "no watchlist is named", hint="Set `watchlist` in undertone.yaml, or give --watchlist."
        )
    subjects = load_watchlist(watchlist)
    watch_config = WatchConfig.of(settings, load_rules(rules or settings.rules), subjects)
    truth = None if events is None else read_truth(events)
    given = Input([stream], [], delay_ms=0, merge=True, as_scored=None, engine=None, model=None)
    with (
        watched(Console(stderr=True)) as watching,
        model_errors(),
        Store(store or default_store()) as opened,
    ):
        source = source_of(given, Range(Span(), None, None), settings, subjects, opened)
        result = benchmark_alerts(source, opened, watch_config, truth, watching)
    if result is None:
        raise typer.Exit(INTERRUPTED)
    if json_output:
        print(json.dumps(result.as_json()))
    else:
        print_alerts(result)


@app.command()
def nab(
    *,
    data: Annotated[
        Path, typer.Option(help="Folder with series (timestamp,value) and their windows.json.")
    ],
    json_output: JsonOption = False,
) -> None:
    """Score the live `volume` baseline on series of the Numenta Anomaly Benchmark."""
    from undertone.benchmark.nab import benchmark_nab

    result = benchmark_nab(data)
    if json_output:
        print(json.dumps(result.as_json()))
    else:
        print_nab(result)
