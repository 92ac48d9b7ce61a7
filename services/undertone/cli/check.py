"""`undertone check`: are the files right, and is the broker there?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    PrefixOption,
    RulesOption,
    WatchlistOption,
)

if TYPE_CHECKING:
    from undertone.checking import Finding

MARKS = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "wrong": "[red]✗[/]", "down": "[red]✗[/]"}


def command(
    *,
    config: ConfigOption = None,
    watchlist: WatchlistOption = None,
    rules: RulesOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Leave the broker out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check settings, watchlist, rules and the broker, and say what to correct.

    Exit status: 0 all is well, 1 no broker answers, 2 something is configured wrongly.
    """
    from undertone import checking

    findings, settings = checking.check_settings(config, prefix=prefix, bootstrap=bootstrap)
    findings += checking.check_environment(os.environ)
    if settings:
        findings += checking.check_models(settings)
    named_watchlist = watchlist or (settings.watchlist if settings else None)
    if named_watchlist or settings:
        found, subjects = checking.check_watchlist(named_watchlist)
        findings += found
    else:
        subjects = None
    findings += checking.check_rules(rules or (settings.rules if settings else None), subjects)
    if settings and not offline:
        findings += checking.check_broker(settings)
    status = checking.exit_status(findings)
    if as_json:
        document = {"ok": status == 0, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        print_table(findings)
    raise typer.Exit(status)


def print_table(findings: list[Finding]) -> None:
    """One line for each finding; wide enough to copy a path from when nobody watches."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    table.add_column("finding", overflow="fold")
    for finding in findings:
        cells = (finding.part, finding.where, finding.message)
        table.add_row(MARKS[finding.status], *map(escape, cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
