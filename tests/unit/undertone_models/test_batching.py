"""Packing by token budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.batching import bisected, forward_packed, pack
from undertone_models.pairs import EncodedPair

LENGTHS = st.lists(st.integers(min_value=1, max_value=600), max_size=200)
BUDGETS = st.integers(min_value=1, max_value=4096)
PASSES = st.integers(min_value=0, max_value=200)


@given(LENGTHS, BUDGETS, PASSES)
def test_every_pair_is_in_exactly_one_batch(
    lengths: list[int], budget: int, pass_tokens: int
) -> None:
    batches = pack(lengths, budget, pass_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, BUDGETS, PASSES)
def test_only_a_row_alone_may_exceed_the_budget(
    lengths: list[int], budget: int, pass_tokens: int
) -> None:
    for batch in pack(lengths, budget, pass_tokens):
        cost = len(batch) * max(lengths[index] for index in batch)
        assert cost <= budget or len(batch) == 1


@given(LENGTHS, BUDGETS)
def test_where_passes_are_dear_there_are_as_few_as_the_budget_lets_be(
    lengths: list[int], budget: int
) -> None:
    fewest, row = 0, 0
    longest_first = sorted(lengths, reverse=True)
    while row < len(lengths):
        row += max(1, budget // longest_first[row])
        fewest += 1
    assert len(pack(lengths, budget, 1_000_000)) == fewest


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(1, 300), PASSES)
def test_no_other_batches_of_neighbours_cost_less(
    lengths: list[int], budget: int, pass_tokens: int
) -> None:
    rows = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    every_way = [
        [rows[low:high] for low, high in pairwise([0, *cuts, len(rows)])]
        for number in range(len(rows))
        for cuts in combinations(range(1, len(rows)), number)
    ]

    def costs(batches: list[list[int]]) -> int:
        return sum(pass_tokens + padded(batch) for batch in batches)

    def padded(batch: list[int]) -> int:
        return len(batch) * max(lengths[index] for index in batch)

    allowed = [
        costs(way)
        for way in every_way
        if all(len(batch) == 1 or padded(batch) <= budget for batch in way)
    ]
    assert costs(pack(lengths, budget, pass_tokens)) == min(allowed)


@given(LENGTHS, PASSES)
def test_batches_run_from_long_rows_to_short(lengths: list[int], pass_tokens: int) -> None:
    order = [lengths[index] for batch in pack(lengths, 512, pass_tokens) for index in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS)
def test_results_come_back_in_the_order_of_the_pairs(lengths: list[int]) -> None:
    pairs = [EncodedPair([1] * length, [0] * length) for length in lengths]
    result = forward_packed(
        pairs, 512, 8, lambda batch: np.array([[len(pair.ids)] * 3 for pair in batch], np.float32)
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
