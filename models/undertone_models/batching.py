"""Packing by token budget: rows × longest row, padding included, is what a forward pass costs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from undertone_models.pairs import LABELS, EncodedPair, FloatArray

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


def pack(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Split row indices into batches of like length, each of rows × longest ≤ `token_budget`.

    Batches run from the longest rows to the shortest; a row longer than the budget is alone in its
    batch. After text-embeddings-inference, `core/src/queue.rs`, with sorting in front.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if current and (len(current) + 1) * longest > token_budget:
            batches.append(current)
            current = []
        if not current:
            longest = lengths[index]
        current.append(index)
    if current:
        batches.append(current)
    return batches


class HalvingBudget:
    """A token budget that is halved, for good, each time a batch does not fit into memory."""

    def __init__(self, token_budget: int) -> None:
        self.token_budget = token_budget

    def run(self, lengths: Sequence[int], forward: Callable[[list[int]], None]) -> None:
        """Call `forward` with the row indices of each packed batch.

        Where it raises MemoryError, the batch and all that follow are packed anew to half of what
        it held, and tried again. Raises MemoryError where a row does not fit alone.
        """
        batches = deque(pack(lengths, self.token_budget))
        while batches:
            batch = batches.popleft()
            try:
                forward(batch)
            except MemoryError:
                if len(batch) == 1:
                    raise
                self.token_budget = len(batch) * max(lengths[index] for index in batch) // 2
                log.warning(
                    "memory ran out on a batch of %d: the token budget is %d from now on",
                    len(batch),
                    self.token_budget,
                )
                left = [*batch, *(index for later in batches for index in later)]
                packed = pack([lengths[index] for index in left], self.token_budget)
                batches = deque([left[place] for place in places] for places in packed)


def forward_packed(
    encoded: Sequence[EncodedPair],
    token_budget: int,
    forward: Callable[[Sequence[EncodedPair]], FloatArray],
    at_once: int = 1,
) -> FloatArray:
    """Run `forward` over all pairs in packed batches, so many at once in threads.

    Rows of the result are in the pairs' order.
    """
    result = np.empty((len(encoded), len(LABELS)), dtype=np.float32)
    batches = pack([len(pair.ids) for pair in encoded], token_budget)

    def run(batch: list[int]) -> None:
        result[batch] = forward([encoded[index] for index in batch])

    if at_once == 1 or len(batches) < 2:
        for batch in batches:
            run(batch)
        return result
    with ThreadPoolExecutor(at_once) as threads:
        for done in [threads.submit(run, batch) for batch in batches]:
            done.result()
    return result


def bisected(
    call: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    on_failure: Callable[[T, Exception], None],
) -> list[R | None]:
    """`call(items)`; where it raises, the halves apart, so that only poisonous items give None.

    Memory that runs out is a fault of the environment and is raised.
    """
    if not items:
        return []
    try:
        results = call(items)
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} pairs")
    except MemoryError:
        raise
    except Exception as error:
        if len(items) == 1:
            on_failure(items[0], error)
            return [None]
        middle = len(items) // 2
        return [
            *bisected(call, items[:middle], on_failure),
            *bisected(call, items[middle:], on_failure),
        ]
    return list(results)
