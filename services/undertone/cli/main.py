"""The command line: every command is one file beside this one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from undertone import __version__
from undertone.cli.options import INTERRUPTED
from undertone.errors import BROKER_HINT, BrokerError, UndertoneError

# name on the command line → module in undertone.cli that holds `command` (or `app`, a Typer group)
COMMANDS = {
    "demo": "demo",
    "broker": "broker",
    "check": "check",
    "rules": "rules",
    "simulate": "simulate",
    "ingest": "ingest",
    "replay": "replay",
    "benchmark": "benchmark",
    "score": "score",
    "watch": "watch",
    "reload": "reload",
    "fill-in": "fill_in",
    "alerts": "alerts",
    "dead-letters": "dead_letters",
    "serve": "serve",
    "board": "board",
    "notify": "notify",
    "dashboards": "dashboards",
    "classify": "classify",
    "train": "train",
    "evaluate": "evaluate",
    "quantise": "quantise",
}


def build_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Wire the named commands into one Typer application."""
    app = typer.Typer(
        name="undertone",
        help="A streaming sentiment monitor on Kafka.",
        no_args_is_help=True,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_version_option)
    for name in names:
        module = importlib.import_module(f"undertone.cli.{COMMANDS[name]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)
    return app


def _version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"undertone {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; a fault ends with its message and its exit status, never a traceback."""
    # Only the command that is asked for is imported, so that each starts fast.
    asked = sys.argv[1:2]
    try:
        build_app(asked if asked and asked[0] in COMMANDS else COMMANDS)()
    except UndertoneError as error:
        print(f"undertone: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _is_of_kafka(error):
            raise
        told = f"Kafka failed: {type(error).__name__}: {error}"
        print(f"undertone: {BrokerError(told, hint=BROKER_HINT)}", file=sys.stderr)
        sys.exit(BrokerError.exit_status)


def _is_of_kafka(error: Exception) -> bool:
    """Whether the client has raised it; where the client was not imported, it has not."""
    errors = sys.modules.get("kafka.errors")
    return errors is not None and isinstance(error, errors.KafkaError)
