"""Fine-tune an encoder on labelled rows: (text, target) pairs → negative, neutral, positive.

A training is deterministic: which rows, in what order and how changed are functions of (seed,
epoch), the dropout's random state is kept with the rest, so a run that was killed and resumed ends
with the same weights as one that was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from undertone_models.classifier import SentimentClassifier, load_classifier
from undertone_models.directions import made_up_rows
from undertone_models.encoding import PairEncoder
from undertone_models.evaluation import classify_rows
from undertone_models.figures import headline_figures, row_statistics
from undertone_models.labelled import LabelledRow
from undertone_models.near_words import NearWords
from undertone_models.pairs import EncodedPair, FloatArray
from undertone_models.pretrained import (
    find_base,
    load_base,
    load_tokenizer,
    target_markers,
    teach_markers,
    tokens_read,
)
from undertone_models.sampling import (
    batches,
    check_rows,
    few_shot,
    steps_of_epoch,
    steps_of_run,
)
from undertone_models.training_folder import STATE_FILE
from undertone_models.training_rows import Batch, TrainingRows
from undertone_models.training_run import (
    TrainingRun,
    chosen_device,
    parameter_groups,
)
from undertone_models.training_settings import TrainingError, TrainingSettings

__all__ = [
    "STATE_FILE",
    "TrainingError",
    "TrainingEvaluation",
    "TrainingSettings",
    "TrainingStep",
    "batches",
    "find_base",
    "load_base",
    "load_tokenizer",
    "parameter_groups",
    "target_markers",
    "tokens_read",
    "train",
]


@dataclass(frozen=True)
class TrainingStep:
    """What a caller is told after each step."""

    step: int
    steps_total: int
    rows: int
    loss: float
    learning_rate: float  # that the step was taken with, of the head


@dataclass(frozen=True)
class TrainingEvaluation:
    """What a caller is told after each evaluation; `score` is what the best is chosen by."""

    step: int
    score: float  # macro F1, the mean over the sources
    per_source: dict[str, dict[str, float]]  # accuracy, macro_f1, macro_recall of each
    is_best: bool


def train(
    rows: Sequence[LabelledRow],
    base: str,
    out: Path,
    settings: TrainingSettings,
    *,
    validation: Sequence[LabelledRow] = (),
    resume: bool = False,
    device: str | None = None,
    on_step: Callable[[TrainingStep], None] | None = None,
    on_evaluation: Callable[[TrainingEvaluation], None] | None = None,
) -> tuple[Any, Tokenizer]:
    """Train on `rows` and return (model, tokenizer); `out` holds the state to resume from.

    The returned weights are the exponential moving average of the run's; with `patience`, as it
    was at the best evaluation on `validation`. Raises TrainingError, CheckpointError.
    """
    name = chosen_device(device, settings.precision)
    if settings.few_shot:
        rows = few_shot(rows, settings.few_shot, settings.seed)
    rows = [*rows, *made_up_rows(settings.directions, settings.seed)]
    check_rows(rows, settings)
    if settings.patience and not validation:
        raise TrainingError(
            "patience: no rows to evaluate on", hint="give rows with split validation, or leave it"
        )
    torch.manual_seed(settings.seed)
    tokenizer = load_tokenizer(base)
    model = load_base(base, settings)
    max_tokens = tokens_read(model, settings)
    markers = target_markers(tokenizer, settings)
    if markers is not None:
        teach_markers(tokenizer, model, markers)
    encoder = PairEncoder(tokenizer, max_tokens, markers)
    teacher = load_teacher(settings, name)
    near_words = None
    if settings.augment.near_words:
        near_words = NearWords(tokenizer, model.get_input_embeddings().weight)
    data = TrainingRows(rows, encoder, settings, teacher=teacher, near_words=near_words)
    run = TrainingRun(
        model,
        settings,
        steps_of_run(data.rows_of_epoch, settings),
        device=name,
        identity=_identity(
            rows, (base, teacher.name if teacher else ""), validation if settings.patience else ()
        ),
    )
    state = out / STATE_FILE
    if resume and state.exists():
        run.load(state)
    out.mkdir(parents=True, exist_ok=True)
    _Loop(run, data, Evaluator(validation, encoder), state, on_step, on_evaluation).finish()
    return run.averaged(), tokenizer


class Evaluator:
    """The rows that a run is judged by."""

    def __init__(self, rows: Sequence[LabelledRow], encoder: PairEncoder) -> None:
        self.rows, self._encoder = rows, encoder
        self._encoded: list[EncodedPair] | None = None

    def evaluate(self, run: TrainingRun, pad_id: int) -> TrainingEvaluation:
        """Measure the run's averaged weights and let the run take note."""
        if self._encoded is None:
            self._encoded = self._encoder.encode([row.pair for row in self.rows])
        figures = source_figures(run.probabilities(self._encoded, pad_id), self.rows)
        score = sum(each["macro_f1"] for each in figures.values()) / len(figures)
        best_before = run.best_score
        run.judge(score)
        return TrainingEvaluation(run.step, score, figures, is_best=score > best_before)


def source_figures(
    probabilities: FloatArray, rows: Sequence[LabelledRow]
) -> dict[str, dict[str, float]]:
    """Accuracy, macro F1 and macro recall of the rows of each source, by its name."""
    truth = np.array([row.label for row in rows], dtype=np.int64)
    sources = np.array([row.source for row in rows])
    statistics = row_statistics(probabilities, truth)
    return {
        str(source): {
            name: float(value)
            for name, value in headline_figures(statistics[sources == source].sum(axis=0)).items()
            if name in ("accuracy", "macro_f1", "macro_recall")
        }
        for source in np.unique(sources)
    }


def checkpoint_figures(
    checkpoint: Path, rows: Sequence[LabelledRow], *, threads: int | None = None
) -> dict[str, dict[str, float]]:
    """The same of a finished checkpoint, with the engine that is best here."""
    if not rows:
        return {}
    classifier = load_classifier("auto", checkpoint, threads=threads)
    return source_figures(classify_rows(classifier, rows), rows)


@dataclass(frozen=True)
class _Loop:
    """A run's steps from where it stands to its end."""

    run: TrainingRun
    data: TrainingRows
    evaluator: Evaluator
    state: Path
    on_step: Callable[[TrainingStep], None] | None
    on_evaluation: Callable[[TrainingEvaluation], None] | None

    def finish(self) -> None:
        run, settings = self.run, self.run.settings
        per_epoch = steps_of_epoch(self.data.rows_of_epoch, settings)
        pad_id = int(run.model.config.pad_token_id or 0)
        while run.step < run.steps_total and not run.is_stopped:
            epoch, done = divmod(run.step, per_epoch)
            for batch in self.data.epoch(epoch, done):
                if run.step >= run.steps_total or run.is_stopped:
                    break
                self._step(batch, pad_id)
                if self._is_evaluation_due(per_epoch):
                    evaluation = self.evaluator.evaluate(run, pad_id)
                    if self.on_evaluation:
                        self.on_evaluation(evaluation)
                if run.step % settings.save_every_steps == 0:
                    run.save(self.state)
        run.save(self.state)

    def _step(self, batch: Batch, pad_id: int) -> None:
        run, rate = self.run, self.run.learning_rate
        loss = run.advance(batch.pairs, batch.targets, pad_id, batch.weights)
        if self.on_step:
            self.on_step(TrainingStep(run.step, run.steps_total, len(batch.pairs), loss, rate))

    def _is_evaluation_due(self, per_epoch: int) -> bool:
        settings, step = self.run.settings, self.run.step
        if not self.evaluator.rows or not (settings.patience or settings.evaluate_every_steps):
            return False
        return (
            step == self.run.steps_total or step % (settings.evaluate_every_steps or per_epoch) == 0
        )


def load_teacher(settings: TrainingSettings, device: str) -> SentimentClassifier | None:
    """The teacher of the settings, uncalibrated: its calibration has seen held-out rows.

    Raises CheckpointError.
    """
    if settings.teacher is None:
        return None
    threads = torch.get_num_threads()
    return load_classifier(
        "auto", settings.teacher, threads=threads, device=device, calibrated=False
    )


def _identity(
    rows: Sequence[LabelledRow], models: tuple[str, str], validation: Sequence[LabelledRow]
) -> str:
    """A digest of what, beside the settings, a run is a function of."""
    digest = hashlib.sha256(repr(models).encode())
    for row in (*rows, *validation):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()
