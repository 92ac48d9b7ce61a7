"""`undertone dashboards`: Grafana's dashboards pushed, and alerts as annotations."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    PrefixOption,
)
from undertone.cli.stopping import stop_on_signals

if TYPE_CHECKING:
    from undertone.dashboards.push import PushResult
    from undertone.settings import GrafanaSettings, Settings

app = typer.Typer(help="Grafana's dashboards and annotations.", no_args_is_help=True)
err = Console(stderr=True)

GrafanaOption = Annotated[
    str | None, typer.Option("--grafana", help="Grafana's address, over that of the settings.")
]


@app.callback()
def _group() -> None:
    """Grafana's dashboards and annotations."""


@app.command()
def push(
    *,
    grafana: GrafanaOption = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            "--prometheus",
            help="Where Grafana reaches Prometheus: pushed as a data source; without, none is.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; print what would change.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push folder, data source and dashboards to Grafana; a second push changes nothing.

    Token, or user and password, come from the settings: UNDERTONE_GRAFANA__TOKEN, or
    UNDERTONE_GRAFANA__USER and UNDERTONE_GRAFANA__PASSWORD.
    """
    from undertone.dashboards.client import GrafanaClient
    from undertone.dashboards.push import push as push_to
    from undertone.dashboards.shipped import shipped_dashboards
    from undertone.settings import load_settings

    chosen = _grafana(load_settings(config), grafana, prometheus)
    with closing(GrafanaClient(chosen)) as client:
        result = push_to(
            client,
            shipped_dashboards(),
            folder=chosen.folder,
            prometheus_url=chosen.prometheus,
            dry_run=dry_run,
        )
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **result.to_json()}, ensure_ascii=False))
    else:
        _print(result, dry_run)


@app.command()
def annotate(
    *,
    grafana: GrafanaOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="End at the present end of the alerts topic.")
    ] = False,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Keep an annotation with its evidence in Grafana for each alert, until stopped.

    One process is enough. SIGTERM and Ctrl-C end it; the exit status is then 0 and 130, and the
    next one goes on from there.
    """
    from undertone.dashboards.annotate import Annotator, follow_alerts
    from undertone.dashboards.client import GrafanaClient
    from undertone.settings import load_settings
    from undertone.telemetry import configure_logging

    configure_logging(verbose=verbose)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    stopped = threading.Event()
    with stop_on_signals(stopped.set):
        with closing(GrafanaClient(_grafana(settings, grafana, None))) as client:
            annotator = Annotator(
                client, settings.prefix, board_url=settings.board.url, stopped=stopped
            )
            written = follow_alerts(settings, annotator, stopped, once=once)
        err.print(f"annotations written: {written}")


def _grafana(settings: Settings, url: str | None, prometheus: str | None) -> GrafanaSettings:
    """The settings with what the options say; raises UsageError where they cannot be read."""
    from pydantic import ValidationError

    from undertone.errors import UsageError
    from undertone.records import describe_validation
    from undertone.settings import GrafanaSettings

    given = {"url": url, "prometheus": prometheus}
    document = {
        **dict(settings.grafana),
        **{name: value for name, value in given.items() if value is not None},
    }
    try:
        return GrafanaSettings.model_validate(document)
    except ValidationError as error:
        said = describe_validation(error).replace("url:", "--grafana:", 1)
        raise UsageError(said.replace("prometheus:", "--prometheus:", 1)) from None


def _print(result: PushResult, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    for change in result.changes:
        verb = change.action if change.action == "unchanged" else would + change.action
        typer.echo(f"{change.kind} {change.uid}: {verb}")
        for line in change.differences if dry_run else ():
            typer.echo(f"  {line}")
    if result.left_alone:
        typer.echo(
            f"left alone, tagged undertone but not shipped: {', '.join(result.left_alone)}",
            err=True,
        )
