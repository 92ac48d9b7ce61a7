"""`undertone score`: read raw topics, write mentions."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    EngineName,
    PrefixOption,
    WatchlistOption,
)
from undertone.cli.stopping import stop_on_signals

if TYPE_CHECKING:
    from undertone_models.classifier import SentimentClassifier

NEW_OBJECTS_A_COLLECTION = 50_000

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    watchlist: WatchlistOption = None,
    engine: Annotated[
        EngineName | None, typer.Option("--engine", help="What runs the model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint (default: the bundled one).")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="0 picks a free one.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Score raw messages about the subjects of the watchlist, until stopped.

    SIGTERM and Ctrl-C finish what is in flight and commit; the exit status is then 0 and 130.
    SIGHUP (`undertone reload`) takes up an edited watchlist, and another checkpoint where the
    settings name one or its files are others.
    """
    import time

    from prometheus_client import CollectorRegistry

    from undertone.cli.classifiers import load_named
    from undertone.cli.model_errors import model_errors
    from undertone.errors import ConfigurationError
    from undertone.reloading import ConfigMetrics, Hangups, Loaded, Reloads
    from undertone.scoring.checkpoints import Checkpoints
    from undertone.scoring.routing import load_detector
    from undertone.scoring.service import ScoreService
    from undertone.settings import DEFAULT_MODEL, load_settings
    from undertone.telemetry import Readiness, configure_logging, serve_metrics
    from undertone.watchlist.subjects import Watchlist, load_watchlist

    configure_logging(verbose=verbose)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    watchlist_file = watchlist or settings.watchlist
    if watchlist_file is None:
        raise ConfigurationError(
            "no watchlist is named", hint="Set `watchlist` in undertone.yaml, or give --watchlist."
        )

    def load() -> Loaded[Watchlist]:
        subjects = load_watchlist(watchlist_file)
        if running and checkpoints.changed():
            running[0].change_models(checkpoints.load, checkpoints.taken_up)
        return Loaded(subjects, {"watchlist": subjects.version})

    def paths() -> dict[str, str | None]:
        named = load_settings(config, prefix=prefix, bootstrap=bootstrap).model_paths
        return named if model is None else {**named, DEFAULT_MODEL: model}

    def load_one(path: str | None) -> SentimentClassifier:
        with model_errors():
            return load_named(settings.model, engine, path, batch_a_thread=True)

    running: list[ScoreService] = []
    checkpoints = Checkpoints(paths, load_one)
    registry = CollectorRegistry()
    reloads = Reloads(load, ConfigMetrics(registry, time.time), Hangups().take)
    by_language = checkpoints.load()
    checkpoints.taken_up()
    port = settings.metrics.score_port if metrics_port is None else metrics_port
    readiness = Readiness()
    served = serve_metrics(registry, settings.metrics.host, port, readiness)
    if served is not None:
        err.print(f"metrics: http://{settings.metrics.host}:{served}/metrics")
    service = ScoreService(
        settings,
        reloads.running,
        by_language.pop(DEFAULT_MODEL),
        registry,
        by_language=by_language,
        detect=load_detector(by_language) if by_language else None,
        readiness=readiness,
        reloads=reloads,
        load_again=lambda route: load_one(paths()[route]),
    )
    running.append(service)
    # What is in flight is let go without the collector's help, which would walk all of it often.
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_A_COLLECTION)
    with stop_on_signals(service.stop):
        service.run()
