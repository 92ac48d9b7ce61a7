"""`undertone reload`: have edited rules and watchlists taken up without a restart."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undertone.cli.options import (
    ConfigOption,
    JsonOption,
    PrefixOption,
    RulesOption,
    WatchlistOption,
)
from undertone.errors import ConfigurationError, UndertoneError

if TYPE_CHECKING:
    from undertone.running import Answer


def command(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    watchlist: WatchlistOption = None,
    rules: RulesOption = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0.1, help="Seconds to wait for each process.")
    ] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Check the watchlist and the rules, then have the running services take them up.

    These are the `score` and `watch` processes of this user, on this machine, with this prefix;
    each is sent SIGHUP and reads its own files again. Elsewhere: `kill -HUP` of the process.
    Nothing is sent where a file is wrong. Exit status: 0 all have taken them up, 1 some have not or
    none runs here, 2 a file is wrong.
    """
    from undertone import checking
    from undertone.cli.check import print_table
    from undertone.running import ask, processes_here, services_of

    findings, settings = checking.check_settings(config, prefix=prefix, bootstrap=None)
    if settings is not None:
        found, subjects = checking.check_watchlist(watchlist or settings.watchlist)
        findings += found + checking.check_rules(rules or settings.rules, subjects)
    status = checking.exit_status(findings)
    if status or settings is None:
        if as_json:
            _print_json(findings, [])
        else:
            print_table(findings)
        raise ConfigurationError("a file is wrong: nothing was sent, what runs goes on as it is")
    services = services_of(settings.prefix, processes_here())
    answers = [ask(service, seconds=wait) for service in services]
    if as_json:
        _print_json(findings, answers)
    else:
        _print_answers(answers)
    if not answers:
        raise UndertoneError(
            f"no `undertone score` or `undertone watch` with prefix {settings.prefix} runs here "
            "as this user",
            hint="In a container: `kill -HUP 1` there, or this command inside it.",
        )
    if not all(answer.outcome.is_fine for answer in answers):
        raise UndertoneError(
            "not every process has taken the files up", hint="Its log names the file and the field."
        )


def _print_json(findings: list[Any], answers: list[Answer]) -> None:
    processes = [
        {
            **asdict(answer.service),
            "outcome": str(answer.outcome),
            "versions": dict(answer.versions),
        }
        for answer in answers
    ]
    document = {"findings": [asdict(each) for each in findings], "processes": processes}
    typer.echo(json.dumps(document, ensure_ascii=False))


def _print_answers(answers: list[Answer]) -> None:
    for answer in answers:
        service = answer.service
        versions = ", ".join(f"{kind} {version}" for kind, version in answer.versions.items())
        told = f" ({versions})" if versions else ""
        typer.echo(f"{service.name} {service.pid}: {answer.outcome}{told}")
