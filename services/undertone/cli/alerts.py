"""`undertone alerts`: the alerts of a prefix, as their topic holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from undertone.cli.options import BootstrapOption, ConfigOption, JsonOption, PrefixOption
from undertone.cli.terminal import print_json
from undertone.records import Alert, AlertState, RawPosition, format_instant

if TYPE_CHECKING:
    from rich.table import Table

    from undertone.alerting.history import AlertFilter
    from undertone.settings import Settings

SHORT_ID = 10
COLOURS = {"info": "cyan", "warning": "yellow", "critical": "red"}

app = typer.Typer(help="The alerts that were told: list them, show one.", no_args_is_help=True)

SubjectOption = Annotated[str | None, typer.Option("--subject", help="Only this subject (its id).")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", help="Only what was told since: a time, or how long ago (24h, 7d)."),
]


@app.command("list")
def list_alerts(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    subject: SubjectOption = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Only this rule.")] = None,
    state: Annotated[AlertState | None, typer.Option("--state", help="Only these.")] = None,
    since: SinceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List alerts by their last revision, the latest first."""
    from undertone.alerting.history import AlertFilter, last_revisions
    from undertone.settings import load_settings

    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    wanted = AlertFilter(subject, rule, state, since_instant(since))
    alerts = last_revisions(_revisions(settings, wanted), wanted)
    if as_json:
        print_json({"alerts": [_document(alert) for alert in alerts]})
        return
    _print_list(alerts)


@app.command()
def show(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how it begins.")],
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one alert: its revisions, conditions, factors, and the messages that prove it."""
    from undertone.alerting.history import AlertFilter, revisions_of
    from undertone.settings import load_settings

    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    revisions = revisions_of(_revisions(settings, AlertFilter()), alert_id)
    if as_json:
        documents = [_document(alert) for alert in revisions]
        print_json({"alert": documents[-1], "revisions": documents})
        return
    _print_alert(revisions)


def since_instant(since: str | None) -> int | None:
    """A time, or how long ago, as milliseconds since 1970. Raises UsageError."""
    import time

    from undertone.durations import parse_duration
    from undertone.errors import UsageError
    from undertone.records import parse_instant

    if since is None:
        return None
    try:
        return int(time.time() * 1000) - parse_duration(since)
    except ValueError:
        pass
    try:
        return parse_instant(since if "T" in since else f"{since}T00:00:00Z")
    except ValueError:
        raise UsageError(
            f"--since {since}: expected a time such as 2026-01-31T09:30:00Z, a date, or how long "
            "ago, such as 24h or 7d"
        ) from None


def _revisions(settings: Settings, wanted: AlertFilter) -> list[Alert]:
    """The revisions that the topic holds, from the time that is wanted on."""
    from undertone.alerting.history import readable
    from undertone.transport.reading import read_to_end
    from undertone.transport.topics import TopicNames

    topic = TopicNames(settings.prefix).alerts
    records = read_to_end(settings.kafka, topic, wanted.since_ms)
    return list(readable(record.value for record in records))


def _document(alert: Alert) -> dict[str, Any]:
    return alert.model_dump(mode="json", exclude_none=True)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_list(alerts: list[Alert]) -> None:
    from undertone.cli.terminal import console, shown

    table = _table("id", "state", "severity", "subject", "rule", "started", "told", "surprise")
    for alert in alerts:
        colour = COLOURS[alert.severity]
        table.add_row(
            shown(alert.id[:SHORT_ID]),
            str(alert.state),
            f"[{colour}]{alert.severity}[/]",
            shown(alert.subject),
            shown(alert.rule),
            format_instant(alert.started_at),
            format_instant(alert.detected_at),
            f"{alert.surprise:.1f}",
        )
    out = console()
    if alerts:
        out.print(table)
    firing = sum(alert.state is AlertState.FIRING for alert in alerts)
    typer.echo(f"{len(alerts)} alerts, {firing} firing", err=True)


def _print_alert(revisions: list[Alert]) -> None:
    from undertone.cli.terminal import console, shown

    alert, out = revisions[-1], console()
    out.print(f"[bold]{shown(alert.name)}[/] ({shown(alert.subject)}): {shown(alert.rule)}")
    out.print(_facts_table(alert))
    out.print("\n[bold]Revisions[/]")
    out.print(_revisions_table(revisions))
    out.print("\n[bold]Conditions[/]")
    out.print(_conditions_table(alert))
    out.print("\n[bold]Evidence[/]")
    for item in alert.evidence:
        score = "" if item.p_negative is None else f", negative {item.p_negative:.2f}"
        told = f"{item.source}, {format_instant(item.published_at)}{score}, {_place(item.raw)}"
        out.print(f"• {shown(item.excerpt)}")
        out.print(f"  {shown(told)}")
        if item.url:
            out.print(f"  {shown(item.url)}")


def _facts_table(alert: Alert) -> Table:
    from undertone.cli.terminal import shown

    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    factors = alert.factors
    facts = {
        "id": alert.id,
        "state": f"{alert.state}, {alert.severity}",
        "labels": labels or "none",
        "started": format_instant(alert.started_at),
        "tipped by": f"{alert.tipping.message_id} at {_place(alert.tipping.raw)}",
        "factors": f"volume × {factors.volume:.2f}, tone × {factors.tone:.2f}, "
        f"novelty × {factors.novelty:.2f}",
        "versions": f"rules {alert.rules_version}, "
        f"watchlist {alert.watchlist_version or 'not told'}",
        "model": alert.model,
    }
    table = _table("", "")
    table.show_header = False
    for name, value in facts.items():
        table.add_row(name, shown(value))
    return table


def _place(raw: RawPosition) -> str:
    return f"{raw.topic}/{raw.partition}/{raw.offset}"


def _conditions_table(alert: Alert) -> Table:
    from undertone.cli.terminal import shown

    table = _table("window", "signal", "observed", "expected", "surprise")
    for each in alert.conditions:
        numbers = (f"{value:g}" for value in (each.observed, each.expected, each.surprise))
        table.add_row(shown(each.window), shown(each.signal), *numbers)
    return table


def _revisions_table(revisions: list[Alert]) -> Table:
    from undertone.cli.terminal import shown

    table = _table("revision", "at", "state", "severity", "signal", "observed", "surprise")
    for each in revisions:
        table.add_row(
            str(each.revision),
            format_instant(each.detected_at),
            str(each.state),
            str(each.severity),
            shown(f"{each.signal} over {each.window}"),
            f"{each.observed:g}",
            f"{each.surprise:g}",
        )
    return table
