"""A training's figures as TensorBoard logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from undertone_models.training import TrainingEvaluation, TrainingStep
from undertone_models.training_settings import TrainingError


class TensorboardLog:
    """Writes loss, learning rate, rows a second and validation figures, by step."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises TrainingError where the package `tensorboard` is not installed."""
        if find_spec("tensorboard") is None:
            raise TrainingError(
                "--tensorboard: tensorboard is not installed",
                hint='install the extra: pip install "undertone[torch]"',
            )
        from torch.utils.tensorboard import SummaryWriter

        self._writer, self._clock, self._last = SummaryWriter(str(folder)), clock, clock()

    def step(self, step: TrainingStep) -> None:
        """Log one step."""
        now = self._clock()
        self._writer.add_scalar("train/loss", step.loss, step.step)
        self._writer.add_scalar("train/learning_rate", step.learning_rate, step.step)
        if now > self._last:
            self._writer.add_scalar(
                "train/rows_per_second", step.rows / (now - self._last), step.step
            )
        self._last = now

    def evaluation(self, evaluation: TrainingEvaluation) -> None:
        """Log one evaluation."""
        self._writer.add_scalar("validation/score", evaluation.score, evaluation.step)
        for source, figures in evaluation.per_source.items():
            for name, value in figures.items():
                self._writer.add_scalar(f"validation/{source}/{name}", value, evaluation.step)

    def close(self) -> None:
        """Write out what is still in memory."""
        self._writer.close()
