"""The classifier that settings and options name, as `score`, `serve` and `replay` load it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from undertone.cli.options import EngineName
    from undertone.settings import ModelSettings
    from undertone_models.classifier import SentimentClassifier


def load_named(
    model: ModelSettings,
    engine: EngineName | None,
    path: str | None,
    *,
    batch_a_thread: bool = False,
) -> SentimentClassifier:
    """Load a checkpoint as `model` says; `engine` is the option over its own.

    Raises the errors of undertone_models (see model_errors).
    """
    from undertone_models.classifier import load_classifier

    return load_classifier(
        engine.value if engine else model.engine,
        path,
        threads=model.threads,
        max_tokens=model.max_tokens,
        token_budget=model.token_budget,
        batch_a_thread=batch_a_thread,
    )
