"""`undertone board`: a page of the watchlist and its alerts."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.http_services import require_packages, run_until_stopped, with_options
from undertone.cli.options import (
    BootstrapOption,
    ConfigOption,
    HostOption,
    PortOption,
    PrefixOption,
    WatchlistOption,
)

err = Console(stderr=True)


def command(
    *,
    config: ConfigOption = None,
    prefix: PrefixOption = None,
    bootstrap: BootstrapOption = None,
    watchlist: WatchlistOption = None,
    host: HostOption = None,
    port: PortOption = None,
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
    require_packages("board", ("jinja2", "starlette", "uvicorn"), extra="board")
    from undertone.board.service import BoardService
    from undertone.board.state import Listed
    from undertone.settings import load_settings
    from undertone.telemetry import configure_logging
    from undertone.watchlist.subjects import load_watchlist

    configure_logging(verbose=verbose)
    # While the broker is away the client says so many times a second; the reader says it once.
    logging.getLogger("kafka.cluster").setLevel(logging.WARNING if verbose else logging.CRITICAL)
    settings = load_settings(config, prefix=prefix, bootstrap=bootstrap)
    past_ms = None if past is None else _past(past)
    board = with_options(settings.board, host=host, port=port, past=past_ms)
    path = watchlist or settings.watchlist
    listed = {} if path is None else load_watchlist(path).by_id
    service = BoardService(
        settings, board, {id_: Listed(each.name, each.type) for id_, each in listed.items()}
    )
    err.print(f"board: {service.url}", soft_wrap=True)
    if path is None:
        err.print("no watchlist is named: only subjects that were heard of are shown")
    run_until_stopped(service, board, err)


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
