"""Notices when the whole process stood still: a laptop's lid, a paused container, SIGSTOP.

A worker that was away for long may have lost its partitions without knowing it yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

TICKS_PER_LIMIT = 10


def boot_seconds() -> float:
    """Seconds since boot, sleep included where the system can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class PauseClock:
    """Counts pauses of more than `limit_seconds` between two looks at the clock.

    A thread looks ten times as often as the limit; whoever asks looks too, so that a pause is
    seen by the first who runs after it. A long computation is no pause: the thread runs on.
    """

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = boot_seconds) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last = clock()
        self._pauses = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="pause-clock", daemon=True)

    def pauses(self) -> int:
        """How many pauses there have been until now."""
        with self._lock:
            now = self._clock()
            if now - self._last > self._limit_seconds:
                self._pauses += 1
            self._last = now
            return self._pauses

    def _look(self) -> None:
        while not self._stop.wait(self._limit_seconds / TICKS_PER_LIMIT):
            self.pauses()

    def __enter__(self) -> PauseClock:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
