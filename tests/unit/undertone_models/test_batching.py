"""Packing by token budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.batching import forward_packed, pack
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
