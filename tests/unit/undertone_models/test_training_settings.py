"""Recipes: what they hold, what stands above what, and how their mistakes are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertone_models.schedules import rate_share
from undertone_models.training_settings import (
    RECIPES,
    Recipe,
    TrainingError,
    TrainingSettings,
    few_shot_defaults,
    read_recipe,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_recipe_the_defaults_hold() -> None:
    assert read_recipe(None) == Recipe()


def test_options_stand_above_a_recipe_and_a_recipe_above_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs: 5\nseed: 3\npasses: {news: 2, social: 1}\n")
    recipe = read_recipe(path, {"seed": 4, "passes": {"social": 0.5}})
    assert (recipe.epochs, recipe.seed, recipe.batch_size) == (5, 4, TrainingSettings().batch_size)
    assert recipe.passes == {"news": 2, "social": 0.5}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_read_by_its_name(path: Path) -> None:
    assert read_recipe(Path(path.stem)).name == path.stem


def test_few_rows_have_defaults_of_their_own_below_what_is_given(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, "epochs: 7\n"), {"few_shot": 16})
    assert recipe.epochs == 7
    assert recipe.learning_rate == few_shot_defaults(16)["learning_rate"]
    epochs = [read_recipe(None, {"few_shot": few}).epochs for few in (16, 64, 256)]
    assert epochs == [20, 20, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", r"mine.yaml: unknown field epoch"),
        ("augment: {typo: 0.5}", r"mine.yaml: unknown field augment.typo"),
        ("epochs: many", r"mine.yaml: field epochs: expected .*number.*many"),
        ("epochs: 0", r"mine.yaml: field epochs: .*greater than 0"),
        ("schedule: steps", r"mine.yaml: field schedule: expected 'linear', 'cosine' or 'stable'"),
        ("class_weights: [1, 2]", r"mine.yaml: field class_weights: expected none, balanced, or"),
        ("class_weights: some", r"mine.yaml: field class_weights: expected none, balanced, or"),
        ("passes: {news: -1}", r"mine.yaml: field passes.news: .*greater than or equal to 0"),
        ("augment: {typos: 2}", r"mine.yaml: field augment.typos"),
        ("[1, 2]", r"mine.yaml: expected fields"),
        ("a: b: c", r"mine.yaml: not YAML"),
    ],
)
def test_a_mistake_names_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_recipe(written(tmp_path, text))


def test_a_near_name_is_offered(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        read_recipe(written(tmp_path, "epoch: 3"))
    assert caught.value.hint == "did you mean epochs?"


def test_a_mistake_in_an_option_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="option: field seed"):
        read_recipe(written(tmp_path, "seed: 3"), {"seed": "three"})


def test_a_recipe_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"absent.yaml: cannot be read") as caught:
        read_recipe(tmp_path / "absent.yaml")
    assert "undertone-minilm" in str(caught.value.hint)


@given(
    st.sampled_from(["linear", "cosine", "stable"]),
    st.integers(1, 400),
    st.floats(0, 0.5),
    st.floats(0.01, 1),
)
def test_every_schedule_rises_then_falls_and_stays_within_the_highest_rate(
    schedule: Any, steps_total: int, warmup_share: float, decay_share: float
) -> None:
    settings = replace(
        TrainingSettings(), schedule=schedule, warmup_share=warmup_share, decay_share=decay_share
    )
    shares = [rate_share(step, steps_total, settings) for step in range(steps_total)]
    top = shares.index(max(shares))
    assert all(0 < share <= 1 for share in shares)
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)


def test_stable_holds_the_rate_until_its_decay() -> None:
    settings = TrainingSettings(schedule="stable", warmup_share=0.1, decay_share=0.2)
    shares = [rate_share(step, 100, settings) for step in range(100)]
    assert shares[10:81] == [1.0] * 71
    assert shares[90] == pytest.approx(0.5)
