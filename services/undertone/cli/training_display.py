"""What a person sees of a training: a bar while it runs, a table of figures at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from undertone_models.training import TrainingEvaluation, TrainingStep


class TrainingDisplay:
    """A progress bar with the loss (of about the last fifty steps) and the rows a second."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._rows, self._loss, self._started = 0, 0.0, 0.0
        columns = (
            TextColumn("train, loss {task.fields[loss]:.3f}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rows_per_second]:.0f} rows/s"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console)
        self._task = self.progress.add_task(
            "train", total=None, visible=False, loss=0.0, rows_per_second=0.0
        )

    def step(self, step: TrainingStep) -> None:
        """Show one step."""
        if not self._rows:  # the first step's time is that of the start, too: it is not counted
            self._started, self._loss = self._clock(), step.loss
        self._loss += (step.loss - self._loss) / 50
        seconds = self._clock() - self._started
        self.progress.update(
            self._task,
            visible=True,
            completed=step.step,
            total=step.steps_total,
            loss=self._loss,
            rows_per_second=self._rows / seconds if seconds > 0 else 0.0,
        )
        self._rows += step.rows

    def evaluation(self, evaluation: TrainingEvaluation) -> None:
        """Print one evaluation above the bar."""
        best = ", the best so far" if evaluation.is_best else ""
        self.progress.console.print(
            f"step {evaluation.step:,}: macro F1 on validation {evaluation.score:.3f}{best}"
        )


def print_figures(console: Console, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table of validation figures by source."""
    table = Table("validation", "accuracy", "macro F1", "macro recall")
    for source, of_source in figures.items():
        cells = (f"{of_source[name]:.3f}" for name in ("accuracy", "macro_f1", "macro_recall"))
        table.add_row(source, *cells)
    console.print(table)
