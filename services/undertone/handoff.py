"""The bounded hand-over between two threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Handoff(Generic[T]):
    """A bounded queue from which the taker takes whatever has queued while it was busy.

    It waits only while there is nothing, and then briefly for more to come along.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item, waiting while the queue is full; False once it is closed."""
        with self._changed:
            while len(self._items) >= self._limit and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def put_all(self, items: Sequence[T]) -> bool:
        """Add items in their order, waiting whenever the queue is full; False once it is closed.

        Who takes is woken once for as many as fit, not once an item.
        """
        added = 0
        with self._changed:
            while added < len(items):
                while len(self._items) >= self._limit and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return False
                room = self._limit - len(self._items)
                self._items.extend(items[added : added + room])
                added += room
                self._changed.notify_all()
        return True

    def offer(self, items: Sequence[T]) -> bool:
        """Add all the items, or none where they do not fit or the queue is closed; never waits."""
        with self._changed:
            if self._closed or len(self._items) + len(items) > self._limit:
                return False
            self._items.extend(items)
            self._changed.notify_all()
            return True

    def take(self, most: int, linger_seconds: float = 0.0, takers: int = 1) -> list[T]:
        """At least one item, at most `most`, oldest first; none once closed and empty.

        `linger_seconds` is waited for more only where the queue was empty at the call. Where there
        are several takers, each leaves the others their share of what has queued.
        """
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
                if linger_seconds > 0 and len(self._items) < most and not self._closed:
                    self._changed.wait_for(
                        lambda: len(self._items) >= most or self._closed, linger_seconds
                    )
                # Another taker may have come first; nothing at all is only for the closed.
            share = -(-len(self._items) // takers)
            taken = [self._items.popleft() for _ in range(min(most, share))]
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take nothing more in; what has queued can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
