"""Whether a classifier answers at all: its device may be gone while the process goes on.

A text that no model can read fails alone. Where a whole batch fails, the classifier is asked about
texts that it has read before; a classifier that fails on those is dead. What comes meanwhile stays
unscored. It is asked again, then loaded anew, after waits that double.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from undertone_models.classifier import Pair, SentimentClassifier

# One short pair, and several: what each new classifier reads first, so that whatever it sets up at
# its first passes is there before the first message, and what a doubtful one is asked.
KNOWN_PAIRS = (Pair("Northbrae opens an office", "Northbrae"),) * 8
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0

log = logging.getLogger(__name__)


def warm(classifier: SentimentClassifier) -> None:
    """Let it read the known pairs. Raises whatever it raises."""
    classifier.classify(KNOWN_PAIRS[:1])
    classifier.classify(KNOWN_PAIRS)


class Pulse:
    """A classifier, replaced by one loaded anew when it has died. May be used from any thread."""

    def __init__(
        self,
        classifier: SentimentClassifier,
        load: Callable[[], SentimentClassifier] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` gives the same checkpoint again (None: it is only asked again)."""
        self.classifier, self.load = classifier, load
        self._clock = clock
        self._trying = threading.Lock()
        self._died_at: float | None = None
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._next_try = 0.0
        self.error = ""

    @property
    def dead_seconds(self) -> float | None:
        """For how long it has not answered; None where it answers."""
        died_at = self._died_at
        return None if died_at is None else self._clock() - died_at

    def answers(self) -> bool:
        """Whether it is worth asking; a dead one is tried here, when its wait is over."""
        if self._died_at is None:
            return True
        if not self._trying.acquire(blocking=False):
            return False  # another thread tries
        try:
            if self._died_at is not None and self._clock() >= self._next_try:
                self._revive()
            return self._died_at is None
        finally:
            self._trying.release()

    def doubt(self) -> None:
        """A whole batch has failed: find out whether the texts did it or the classifier is dead."""
        with self._trying:
            if self._died_at is not None:
                return
            try:
                warm(self.classifier)
            except MemoryError:
                raise
            except Exception as error:
                self._died_at = self._clock()
                self._wait_seconds = FIRST_WAIT_SECONDS
                self._put_off(error)

    def _revive(self) -> None:
        try:
            self._warm_or_load()
        except Exception as error:  # whatever a device and its driver raise, memory too
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
            self._put_off(error)
            return
        log.info("%s answers again after %.0f s", self.classifier.name, self.dead_seconds)
        self._died_at = None

    def _warm_or_load(self) -> None:
        try:
            warm(self.classifier)
        except Exception:
            if self.load is None:
                raise
            loaded = self.load()
            if loaded.name != self.classifier.name:
                raise RuntimeError(
                    f"its files hold {loaded.name} by now: `undertone reload` takes that up"
                ) from None
            warm(loaded)
            self.classifier = loaded

    def _put_off(self, error: Exception) -> None:
        self.error = f"{type(error).__name__}: {error}".splitlines()[0]
        self._next_try = self._clock() + self._wait_seconds
        log.error(
            "%s does not answer, what it should read stays unscored; it is tried again in %.0f s: "
            "%s",
            self.classifier.name,
            self._wait_seconds,
            self.error,
        )
