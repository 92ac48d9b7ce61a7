"""What ends a command that runs until it is stopped: SIGTERM (status 0) and Ctrl-C (130)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from undertone.cli.options import INTERRUPTED


@contextmanager
def stop_on_signals(stop: Callable[[], object], *, second_ends: bool = True) -> Iterator[None]:
    """Call `stop` on either signal; after Ctrl-C the end of the block exits with its status.

    With `second_ends` the second of a kind ends the process at once. For the main thread alone.
    """
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        stop()
        if second_ends:
            signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    yield
    if signal.SIGINT in received:
        raise typer.Exit(INTERRUPTED)
