"""`undertone board`: a page of the watchlist and its alerts."""

from __future__ import annotations

import logging
import signal
from importlib.util import find_spec
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.options import (
    INTERRUPTED,
    BootstrapOption,
    ConfigOption,
    PrefixOption,
    WatchlistOption,
)
from undertone.errors import UndertoneError

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    watchlist: WatchlistOption = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on (default: 127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")
    ] = None,
    past: Annotated[
        str | None,
        typer.Option("--past", help="How much of the trends to read at the start (default: 30d)."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Show the watchlist, open alerts and their evidence as a web page, until stopped.

    Reads the trends and alerts topics and writes nothing. Without a watchlist it shows only the
    subjects that were heard of. SIGTERM and Ctrl-C end it with 0 and 130.
    """
    for package in ("jinja2", "starlette", "uvicorn"):
        if find_spec(package) is None:
            raise UndertoneError(
                f"undertone board: {package} is not installed",
                hint='install the extra: pip install "undertone[board]"',
            )
    from undertone.board.service import BoardService
    from undertone.board.state import Listed
    from undertone.settings import load_settings
    from undertone.telemetry import configure_logging
    from undertone.watchlist.subjects import load_watchlist

    configure_logging(verbose=verbose)
    # While the broker is away the client says so many times a second; the reader says it once.
    logging.getLogger("kafka.cluster").setLevel(logging.WARNING if verbose else logging.CRITICAL)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    given = {"host": host, "port": port, "past": None if past is None else _past(past)}
    board = settings.board.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    path = watchlist or settings.watchlist
    listed = {} if path is None else load_watchlist(path).by_id
    service = BoardService(
        settings, board, {id_: Listed(each.name, each.type) for id_, each in listed.items()}
    )
    err.print(f"board: {service.url}", soft_wrap=True)
    if path is None:
        err.print("no watchlist is named: only subjects that were heard of are shown")
    if board.is_open_to_all:
        err.print(f"warning: {board.host} may be reached by others, and no token is set")
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        service.stop()

    # The server puts its own handlers over these while it runs, and hands signals on at its end.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    service.run()
    if signal.SIGINT in received:
        raise typer.Exit(INTERRUPTED)


def _past(text: str) -> int:
    from undertone.durations import parse_duration
    from undertone.errors import UsageError

    try:
        past_ms = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--past: {error}") from None
    if past_ms <= 0:
        raise UsageError("--past: expected more than nothing, such as 7d")
    return past_ms
