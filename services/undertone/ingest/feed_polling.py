"""The shell of feeds: asks those that are due, writes what is new, then remembers it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from undertone.errors import FeedError
from undertone.ingest.feed_fetching import FeedFetcher
from undertone.ingest.feed_memory import FeedMemory
from undertone.ingest.feed_schedule import Answer, FeedState, Outcome, outcome_of
from undertone.ingest.feeds import Feed
from undertone.records import RawMessage

FETCHERS = 8

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PollCounts:
    """What a run did; `ingested` counts messages that are acknowledged."""

    polls: int = 0
    unchanged: int = 0
    failed: int = 0
    ingested: int = 0
    skipped: int = 0


class FeedPoller:
    """Polls feeds until it is stopped.

    `write(messages)` returns when all are acknowledged; only then is a feed's position kept, so an
    entry may come twice after a crash, under the same id, and is never lost while its feed holds
    it. `clock_ms` is the wall clock; `wait(seconds)` returns early, and True, when it is to stop.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        memory: FeedMemory,
        fetcher: FeedFetcher,
        write: Callable[[Sequence[RawMessage]], object],
        *,
        every_ms: int,
        clock_ms: Callable[[], int],
        wait: Callable[[float], bool],
    ) -> None:
        self._memory, self._fetcher, self._write = memory, fetcher, write
        self._every_ms, self._clock_ms, self._wait = every_ms, clock_ms, wait
        # Earlier versions kept a feed by its whole address.
        memory.rename({feed.scope: feed.key for feed in feeds})
        self._states = {feed: memory.load(feed.key) for feed in feeds}
        self._due_ms = {feed: state.not_before_ms for feed, state in self._states.items()}
        self._last_fault: FeedError | None = None
        self.counts = PollCounts()

    def run(self, *, once: bool = False) -> PollCounts:
        """Poll until stopped; `once`: each feed that may be asked now, one time.

        Raises FeedError where every feed is gone (once: where none could be read), and whatever
        `write` and the memory raise.
        """
        with ThreadPoolExecutor(FETCHERS, thread_name_prefix="feed") as threads:
            while True:
                self._round(threads)
                if once:
                    if self._last_fault is not None and self.counts.failed == self.counts.polls:
                        raise self._last_fault
                    return self.counts
                if not self._due_ms:
                    raise FeedError("every feed is gone", hint="Name others with --feed.")
                wait_ms = min(self._due_ms.values()) - self._clock_ms()
                if self._wait(max(0, wait_ms) / 1000):
                    return self.counts

    def _round(self, threads: ThreadPoolExecutor) -> None:
        now_ms = self._clock_ms()
        due = [feed for feed, due_ms in self._due_ms.items() if due_ms <= now_ms]
        outcomes = dict(zip(due, threads.map(self._poll, due), strict=True))
        messages = [message for outcome in outcomes.values() for message in outcome.messages]
        if messages:
            self._write(messages)
        changed = {
            feed: outcome.state
            for feed, outcome in outcomes.items()
            if outcome.state != self._states[feed]
        }
        self._remember(changed)
        for feed, outcome in outcomes.items():
            self._account(feed, outcome)

    def _poll(self, feed: Feed) -> Outcome:
        state = self._states[feed]
        answer: Answer | FeedError
        try:
            answer = self._fetcher.fetch(feed, state)
        except FeedError as error:
            answer = error
        return outcome_of(feed, state, answer, now_ms=self._clock_ms(), every_ms=self._every_ms)

    def _remember(self, states: Mapping[Feed, FeedState]) -> None:
        if states:
            self._memory.save({feed.key: state for feed, state in states.items()})
            self._states.update(states)

    def _account(self, feed: Feed, outcome: Outcome) -> None:
        """Count one poll, tell it in one line, and set when the feed is due again."""
        now_ms = self._clock_ms()
        self._due_ms[feed] = max(now_ms + self._every_ms, outcome.state.not_before_ms)
        counts, new = self.counts, len(outcome.messages)
        counts.polls += 1
        counts.ingested += new
        counts.skipped += outcome.skipped
        if outcome.fault is not None:
            counts.failed += 1
            self._last_fault = FeedError(f"{feed.name}: {outcome.fault}")
            seconds = (self._due_ms[feed] - now_ms) / 1000
            then = "not asked again" if outcome.is_gone else f"asked again in {seconds:,.0f} s"
            log.warning("feed %s: %s; %s", feed.name, outcome.fault, then)
            if outcome.is_gone:
                del self._due_ms[feed]
        elif new or outcome.skipped:
            log.info("feed %s: %d new, %d skipped", feed.name, new, outcome.skipped)
        else:
            counts.unchanged += 1
            log.debug("feed %s: nothing new", feed.name)
