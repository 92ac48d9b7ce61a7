"""Packing by token budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.batching import bisected, forward_packed, pack
from undertone_models.pairs import EncodedPair

LENGTHS = st.lists(st.integers(min_value=1, max_value=600), max_size=200)
BUDGETS = st.integers(min_value=1, max_value=4096)


@given(LENGTHS, BUDGETS)
def test_every_pair_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, BUDGETS)
def test_only_a_row_alone_may_exceed_the_budget(lengths: list[int], budget: int) -> None:
    for batch in pack(lengths, budget):
        cost = len(batch) * max(lengths[index] for index in batch)
        assert cost <= budget or len(batch) == 1


@given(LENGTHS, BUDGETS)
def test_a_batch_ends_only_where_one_more_row_would_not_fit(
    lengths: list[int], budget: int
) -> None:
    batches = pack(lengths, budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(lengths[index] for index in batch) > budget


@given(LENGTHS)
def test_batches_run_from_long_rows_to_short(lengths: list[int]) -> None:
    order = [lengths[index] for batch in pack(lengths, 512) for index in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS)
def test_results_come_back_in_the_order_of_the_pairs(lengths: list[int]) -> None:
    pairs = [EncodedPair([1] * length, [0] * length) for length in lengths]
    result = forward_packed(
        pairs, 512, lambda batch: np.array([[len(pair.ids)] * 3 for pair in batch], np.float32)
    )
    assert result.shape == (len(lengths), 3)
    assert result[:, 0].tolist() == lengths


@given(st.lists(st.integers(), max_size=60), st.sets(st.integers(min_value=0, max_value=59)))
def test_only_poisonous_items_are_lost(items: list[int], poisoned: set[int]) -> None:
    boxed = [(item, position) for position, item in enumerate(items)]
    bad = {pair for pair in boxed if pair[1] in poisoned}

    def call(part: Sequence[tuple[int, int]]) -> list[int]:
        if bad.intersection(part):
            raise RuntimeError("poison")
        return [item * 2 for item, _ in part]

    failures: list[tuple[int, int]] = []
    results = bisected(call, boxed, lambda item, _error: failures.append(item))
    assert results == [None if pair in bad else pair[0] * 2 for pair in boxed]
    assert set(failures) == bad


def test_a_result_too_few_is_a_failure() -> None:
    assert bisected(lambda part: [1] * (len(part) - 1), [1, 2], lambda *_: None) == [None, None]


def test_memory_that_runs_out_is_not_the_pairs_fault() -> None:
    def call(part: Sequence[int]) -> list[int]:
        raise MemoryError

    with pytest.raises(MemoryError):
        bisected(call, [1, 2], lambda *_: None)
