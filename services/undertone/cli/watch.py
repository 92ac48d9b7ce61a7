"""`undertone watch`: read mentions, write trends and alerts."""

from __future__ import annotations

import signal
import time
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    INTERRUPTED,
    BootstrapOption,
    ConfigOption,
    PrefixOption,
    RulesOption,
    WatchlistOption,
)

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    watchlist: WatchlistOption = None,
    rules: RulesOption = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="0 picks a free one.")
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Delete the watcher's state and exit; the next start reads all mentions anew.",
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more, Faust included.")] = False,
) -> None:
    """Watch the mentions: write trends and alerts, serve metrics, push alerts, until stopped.

    Several workers share the mentions' partitions. SIGTERM and Ctrl-C finish what is in flight;
    the exit status is then 0 and 130. SIGHUP (`undertone reload`) takes up edited files.
    """
    from prometheus_client import CollectorRegistry

    from undertone.alerting.alertmanager import AlertmanagerClient
    from undertone.alerting.notifier import Notifier
    from undertone.alerting.rules import load_rules
    from undertone.errors import ConfigurationError
    from undertone.reloading import ConfigMetrics, Hangups, Loaded, Reloads
    from undertone.settings import load_settings
    from undertone.telemetry import Readiness, configure_logging, serve_metrics
    from undertone.watch.agent import Outlets
    from undertone.watch.core import Watch, WatchConfig
    from undertone.watch.exposition import Exposition
    from undertone.watch.partition import CoreFactory
    from undertone.watch.rebuild import delete_state
    from undertone.watch.worker import quieten_clients, run_worker
    from undertone.watchlist.subjects import load_watchlist

    configure_logging(verbose=verbose)
    quieten_clients(verbose=verbose)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    if rebuild:
        for name in delete_state(settings):
            err.print(f"deleted: {name}")
        err.print("the next `undertone watch` reads the mentions from their beginning")
        return
    watchlist_file = watchlist or settings.watchlist
    if watchlist_file is None:
        raise ConfigurationError(
            "no watchlist is named", hint="Set `watchlist` in undertone.yaml, or give --watchlist."
        )

    def load() -> Loaded[CoreFactory]:
        rule_set, subjects = load_rules(rules or settings.rules), load_watchlist(watchlist_file)
        watch_config = WatchConfig.of(settings, rule_set, subjects)
        versions = {"rules": rule_set.version, "watchlist": subjects.version}
        return Loaded(lambda: Watch(watch_config), versions)

    registry = CollectorRegistry()
    reloads = Reloads(load, ConfigMetrics(registry, time.time), Hangups().take)
    port = settings.metrics.watch_port if metrics_port is None else metrics_port
    readiness = Readiness()
    served = serve_metrics(registry, settings.metrics.host, port, readiness)
    if served is not None:
        err.print(f"metrics: http://{settings.metrics.host}:{served}/metrics")
    alertmanager = settings.alertmanager
    client = (
        AlertmanagerClient(alertmanager.url, timeout_seconds=alertmanager.timeout / 1000)
        if alertmanager.url
        else None
    )
    exposition = Exposition(
        registry,
        wall_clock=time.time,
        live=any(topic.clock == "live" for topic in settings.effective_raw_topics),
        route="direct" if client else "prometheus",
        allowed_lateness_ms=settings.allowed_lateness,
    )
    notifier = Notifier(
        client,
        set_notified=exposition.set_notified,
        wall_clock_ms=lambda: int(time.time() * 1000),
        repeat_ms=alertmanager.repeat,
        board_url=settings.board.url,
    )
    with notifier:
        received = run_worker(
            settings,
            reloads.running,
            Outlets(exposition, notifier),
            session_timeout_seconds=settings.watch.session_timeout / 1000,
            readiness=readiness,
            reloads=reloads,
        )
    if received is signal.SIGINT:
        raise typer.Exit(INTERRUPTED)
