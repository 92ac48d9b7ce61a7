"""`undertone broker`: a real Kafka of one node on this machine."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from undertone.transport.broker_process import BrokerState

app = typer.Typer(help="A real Kafka of one node on this machine.", no_args_is_help=True)
err = Console(stderr=True)

# The exit status of a broker that ended because it was asked to (SIGTERM).
ASKED_TO_END = 128 + signal.SIGTERM

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where its data live.", show_default="~/.local/state/undertone/broker"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def start(
    detach: Annotated[bool, typer.Option("--detach", help="Return, and leave it running.")] = False,
    data_dir: DataDir = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Listen here; else on a free port.")
    ] = None,
    heap_mb: Annotated[int, typer.Option(min=128, help="Limit of the Java heap, in MiB.")] = 512,
    as_json: AsJson = False,
) -> None:
    """Start the broker and print its address.

    Without --detach it runs until Ctrl-C (exit status 0), and ends with this process.
    The first start fetches Kafka (45 MB); later ones need no network.
    """
    from undertone.transport.broker_process import read_state
    from undertone.transport.embedded_broker import EmbeddedBroker, default_data_dir

    folder = (data_dir or default_data_dir()).absolute()
    if detach and (running := read_state(folder)) is not None:
        err.print(f"A broker runs already (process {running.pid}); not started again.")
        print_state(running, as_json, already_running=True)
        return
    broker = EmbeddedBroker(folder, port=port, heap_mb=heap_mb, detached=detach)
    if detach:
        with progress_line() as progress:
            broker.start(progress)
        print_state(broker.state, as_json, already_running=False)
        err.print("It runs until: undertone broker stop")
        return
    run_in_foreground(broker, as_json)


@app.command()
def stop(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the broker that runs on the data folder, if one does."""
    from undertone.transport.embedded_broker import default_data_dir, stop_running

    stopped = stop_running((data_dir or default_data_dir()).absolute())
    if as_json:
        typer.echo(json.dumps({"stopped": stopped is not None}))
    elif stopped is None:
        typer.echo("no broker runs")
    else:
        typer.echo(f"stopped {stopped.bootstrap}")


@app.command()
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Tell whether a broker runs on the data folder, and where (exit status 1: none runs)."""
    from undertone.transport.broker_process import read_state
    from undertone.transport.embedded_broker import default_data_dir

    state = read_state((data_dir or default_data_dir()).absolute())
    if state is not None:
        print_state(state, as_json, as_text=True)
        return
    typer.echo(json.dumps({"running": False}) if as_json else "no broker runs")
    raise typer.Exit(1)


def run_in_foreground(broker: Any, as_json: bool) -> None:
    """Run until Ctrl-C or SIGTERM, or until the broker ends by another's hand."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        with progress_line() as progress:
            broker.start(progress)
        print_state(broker.state, as_json, already_running=False)
        err.print("Ctrl-C stops it.")
        if broker.wait() != ASKED_TO_END:
            raise broker.why_ended()
    except KeyboardInterrupt:
        err.print("Stopping the broker.")
    finally:
        broker.stop()


def interrupt(*_: object) -> NoReturn:
    """Take SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """One line on standard error that changes with the progress."""
    with err.status("starting") as line:
        yield line.update


def print_state(state: BrokerState, as_json: bool, *, as_text: bool = False, **more: bool) -> None:
    """Print the broker's address alone, or with `as_text` all about it, or as JSON."""
    fields = state.model_dump(mode="json", exclude={"created"})
    if as_json:
        typer.echo(json.dumps({"running": True, **fields, **more}))
    elif as_text:
        for name, value in fields.items():
            typer.echo(f"{name.replace('_', ' ')}: {value}")
    else:
        typer.echo(state.bootstrap)
