"""Packing: a forward pass costs rows × longest row, padding included, and the pass itself."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TypeVar

import numpy as np

from undertone_models.pairs import LABELS, EncodedPair, FloatArray

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


def pack(lengths: Sequence[int], token_budget: int, pass_tokens: int) -> list[list[int]]:
    """Split row indices into the batches that cost least in all, `pass_tokens` a pass beside rows.

    Each holds rows of like length, of rows × longest ≤ `token_budget`; a row longer than that is
    alone in its batch. Batches run from the longest rows to the shortest.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    longest_first = [lengths[index] for index in order]
    real = list(accumulate(longest_first, initial=0))
    # What passes and padding of the first rows cost at least, and where the last of them begins.
    waste, begins = [0.0], [0]
    lowest = 0
    for end in range(1, len(order) + 1):
        while lowest < end - 1 and (end - lowest) * longest_first[lowest] > token_budget:
            lowest += 1
        least, begin = math.inf, lowest
        for start in range(lowest, end):
            before = waste[start] + pass_tokens
            if before >= least:
                break  # the more rows, the more waste: none that follows costs less
            padding = (end - start) * longest_first[start] - (real[end] - real[start])
            if before + padding < least:
                least, begin = before + padding, start
        waste.append(least)
        begins.append(begin)
    batches: list[list[int]] = []
    end = len(order)
    while end:
        batches.append(order[begins[end] : end])
        end = begins[end]
    return batches[::-1]


class HalvingBudget:
    """A token budget that is halved, for good, each time a batch does not fit into memory."""

    def __init__(self, token_budget: int, pass_tokens: int) -> None:
        self.token_budget, self._pass_tokens = token_budget, pass_tokens

    def run(self, lengths: Sequence[int], forward: Callable[[list[int]], None]) -> None:
        """Call `forward` with the row indices of each packed batch.

        Where it raises MemoryError, the batch and all that follow are packed anew to half of what
        it held, and tried again. Raises MemoryError where a row does not fit alone.
        """
        batches = deque(self._packed(lengths))
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
                packed = self._packed([lengths[index] for index in left])
                batches = deque([left[place] for place in places] for places in packed)

    def _packed(self, lengths: Sequence[int]) -> list[list[int]]:
        return pack(lengths, self.token_budget, self._pass_tokens)


def forward_packed(
    encoded: Sequence[EncodedPair],
    token_budget: int,
    pass_tokens: int,
    forward: Callable[[Sequence[EncodedPair]], FloatArray],
    at_once: int = 1,
) -> FloatArray:
    """Run `forward` over all pairs in packed batches, so many at once in threads.

    Rows of the result are in the pairs' order.
    """
    result = np.empty((len(encoded), len(LABELS)), dtype=np.float32)
    batches = pack([len(pair.ids) for pair in encoded], token_budget, pass_tokens)

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
