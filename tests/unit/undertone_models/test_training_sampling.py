"""Which rows a training sees, how often and in what order."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.labelled import LabelledRow
from undertone_models.sampling import (
    batches,
    class_weights,
    epoch_batches,
    epoch_rows,
    few_shot,
    group_of,
    groups_without_rows,
    steps_of_epoch,
)
from undertone_models.training_settings import TrainingSettings

SOURCES = ["news"] * 10 + ["social"] * 7


def row(label: int, source: str, text: str = "text") -> LabelledRow:
    return LabelledRow(text, None, label, source, None)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=200), st.integers(1, 32), st.integers(0, 3)
)
def test_an_epoch_holds_every_row_once_in_batches_of_the_size(
    lengths: list[int], batch_size: int, epoch: int
) -> None:
    settings = TrainingSettings(batch_size=batch_size)
    made = epoch_batches(lengths, settings, epoch)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    assert max(map(len, made)) <= batch_size
    assert len(made) == steps_of_epoch(len(lengths), settings)


def test_each_epoch_has_an_order_of_its_own() -> None:
    settings = TrainingSettings(batch_size=4)
    endless = batches([5] * 40, settings)
    first, second = ([next(endless) for _ in range(10)] for _ in range(2))
    assert first == epoch_batches([5] * 40, settings, 0)
    assert second == epoch_batches([5] * 40, settings, 1)
    assert first != second


def test_a_batch_holds_rows_of_like_length() -> None:
    lengths = [n % 50 + 3 for n in range(640)]
    for batch in epoch_batches(lengths, TrainingSettings(batch_size=32), 0):
        assert max(lengths[i] for i in batch) - min(lengths[i] for i in batch) <= 3


@given(st.floats(0, 4), st.integers(0, 5))
def test_an_epoch_sees_the_rows_of_a_source_as_often_as_passes_says(
    factor: float, epoch: int
) -> None:
    seen = Counter(epoch_rows(SOURCES, {"news": factor}, seed=1, epoch=epoch))
    news = [seen[index] for index in range(10)]
    assert sum(news) == int(factor) * 10 + round((factor - int(factor)) * 10)
    assert max(news) - min(news) <= 1
    assert [seen[index] for index in range(10, 17)] == [1] * 7


def test_the_fraction_of_a_pass_is_drawn_anew_in_each_epoch_and_the_same_in_each_run() -> None:
    drawn = [epoch_rows(SOURCES, {"news": 0.5}, seed=1, epoch=epoch) for epoch in range(4)]
    assert len({tuple(rows) for rows in drawn}) > 1
    assert drawn[2] == epoch_rows(SOURCES, {"news": 0.5}, seed=1, epoch=2)


def test_rows_of_a_label_may_be_seen_more_often_than_the_others_of_their_source() -> None:
    passes = {"tweets": 0.5, "tweets/negative": 2.0}
    rows = [row(n % 3, source) for source in ("news", "tweets") for n in range(12)]
    chosen = epoch_rows([group_of(each, passes) for each in rows], passes, seed=1, epoch=0)
    seen = Counter((rows[index].source, rows[index].label) for index in chosen)
    assert [seen["news", label] for label in range(3)] == [4, 4, 4]
    assert seen["tweets", 0] == 8
    assert seen["tweets", 1] + seen["tweets", 2] == 4
    weights = class_weights(rows, TrainingSettings(class_weights="balanced", passes=passes))
    assert weights == pytest.approx([24 / 3 / 12, 24 / 3 / 6, 24 / 3 / 6])


def test_names_that_no_row_is_counted_under_are_told() -> None:
    settings = TrainingSettings(passes={"news": 2, "wires": 3, "news/neutral": 1})
    assert groups_without_rows([row(0, "news")], settings) == ["news/neutral", "wires"]


def test_balanced_weights_make_the_labels_count_alike() -> None:
    rows = [row(0, "a")] * 6 + [row(1, "a")] * 3 + [row(2, "b")]
    weights = class_weights(rows, TrainingSettings(class_weights="balanced"))
    assert [6 * weights[0], 3 * weights[1], weights[2]] == pytest.approx([10 / 3] * 3)
    seen_thrice = TrainingSettings(class_weights="balanced", passes={"b": 3})
    assert class_weights(rows, seen_thrice)[1] == pytest.approx(class_weights(rows, seen_thrice)[2])


def test_few_shot_takes_so_many_of_each_label_from_all_sources_alike() -> None:
    rows = [row(n % 3, "large" if n % 4 else "small", text=str(n)) for n in range(240)]
    chosen = few_shot(rows, 8, seed=5)
    assert Counter(each.label for each in chosen) == {0: 8, 1: 8, 2: 8}
    assert Counter(each.source for each in chosen) == {"large": 12, "small": 12}
    assert chosen == few_shot(rows, 8, seed=5) != few_shot(rows, 8, seed=6)
    assert [rows.index(each) for each in chosen] == sorted(rows.index(each) for each in chosen)


def test_few_shot_takes_all_where_there_are_fewer() -> None:
    rows = [row(0, "a"), row(0, "b"), row(1, "a"), row(2, "b")]
    assert few_shot(rows, 16, seed=1) == rows
