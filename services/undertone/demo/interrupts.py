"""Ctrl-C once: it ends the work, and cannot end the cleaning up that follows."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupted_once() -> Iterator[Callable[[], None]]:
    """Within the block, the first SIGINT or SIGTERM raises KeyboardInterrupt, later ones nothing.

    Yields a function after which all are ignored until the block's end. For the main thread only.
    """

    def ignore() -> None:
        for number in SIGNALS:
            signal.signal(number, _nothing)

    def interrupt(*_: object) -> NoReturn:
        ignore()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield ignore
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(*_: object) -> None:
    """Unlike SIG_IGN, a handler is not inherited by a process that is started meanwhile."""
