"""The command line: every command is one file beside this one."""

from __future__ import annotations

import importlib
import sys

import typer

from undertone.errors import UndertoneError

# name on the command line → module in undertone.cli that holds `command` (or `app`, a Typer group)
COMMANDS = {
    "demo": "demo",
    "broker": "broker",
    "check": "check",
    "simulate": "simulate",
    "ingest": "ingest",
    "score": "score",
    "watch": "watch",
    "classify": "classify",
    "train": "train",
    "evaluate": "evaluate",
    "quantise": "quantise",
}

INTERRUPTED = 130


def build_app() -> typer.Typer:
    """Wire all commands into one Typer application."""
    app = typer.Typer(
        name="undertone",
        help="A streaming sentiment monitor on Kafka.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(f"undertone.cli.{module_name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)
    return app


def main() -> None:
    """Run a command; a fault ends with its message and its exit status, never a traceback."""
    try:
        build_app()()
    except UndertoneError as error:
        print(f"undertone: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
