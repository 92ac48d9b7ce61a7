"""The rows of a training as its model reads them: changed anew in each epoch, with their targets.

Each row's changes are a function of (seed, epoch, place in the epoch), so a resumed run sees the
same ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from undertone_models.augmentation import augmented, with_near_words
from undertone_models.classifier import SentimentClassifier
from undertone_models.encoding import PairEncoder
from undertone_models.labelled import LabelledRow
from undertone_models.near_words import NearWords
from undertone_models.pairs import LABELS, EncodedPair
from undertone_models.sampling import class_weights, epoch_batches, epoch_rows, group_of
from undertone_models.training_settings import TrainingSettings

BATCHES_ASKED = 64  # a teacher answers for so many at a time


class Batch(NamedTuple):
    """What one step reads: `targets` are label indices (n,) or probabilities (n, 3)."""

    pairs: list[EncodedPair]
    targets: torch.Tensor
    weights: torch.Tensor  # of the rows in the loss, shape (n,)


class TrainingRows:
    """The rows as a model reads them, in the order and number of each epoch."""

    def __init__(
        self,
        rows: Sequence[LabelledRow],
        encoder: PairEncoder,
        settings: TrainingSettings,
        *,
        teacher: SentimentClassifier | None = None,
        near_words: NearWords | None = None,
    ) -> None:
        """`teacher` and `near_words` where the settings ask for them."""
        self._rows, self._encoder, self._settings = rows, encoder, settings
        self._teacher, self._near_words = teacher, near_words
        self._groups = [group_of(row, settings.passes) for row in rows]
        self._plain = encoder.encode([row.pair for row in rows])
        self._labels = torch.tensor([row.label for row in rows])
        self._weights = torch.tensor(class_weights(rows, settings))[self._labels]
        self._targets = self._labels
        if settings.distillation_weight and teacher is None:
            soft = [row.soft or _certain(row.label) for row in rows]
            self._targets = soft_targets(
                self._labels, torch.tensor(soft), settings.distillation_weight
            )
        self.rows_of_epoch = len(epoch_rows(self._groups, settings.passes, settings.seed, 0))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from the `start`-th on."""
        settings = self._settings
        chosen = epoch_rows(self._groups, settings.passes, settings.seed, number)
        changed, relabelled = self._changed(chosen, number)
        pairs = [self._plain[index] for index in chosen]
        encoded = self._encoder.encode([row.pair for row in changed.values()])
        for place, pair in zip(changed, encoded, strict=True):
            pairs[place] = pair
        batches = epoch_batches([len(pair.ids) for pair in pairs], settings, number)
        for first in range(start - start % BATCHES_ASKED, len(batches), BATCHES_ASKED):
            some = batches[first : first + BATCHES_ASKED]
            places = [place for batch in some for place in batch]
            rows = [changed.get(place, self._rows[chosen[place]]) for place in places]
            targets = self._targets_of(
                [chosen[place] for place in places],
                rows,
                torch.tensor([place in relabelled for place in places]),
            )
            learnt = targets.split([len(batch) for batch in some])
            for batch, its_targets in list(zip(some, learnt, strict=True))[max(0, start - first) :]:
                yield Batch(
                    [pairs[place] for place in batch],
                    its_targets,
                    self._weights[[chosen[place] for place in batch]],
                )

    def _changed(
        self, chosen: Sequence[int], epoch: int
    ) -> tuple[dict[int, LabelledRow], frozenset[int]]:
        """Each changed row by its place in the epoch, and which of them may have another label."""
        augment, seed = self._settings.augment, self._settings.seed
        changed: dict[int, LabelledRow] = {}
        relabelled = set()
        if not augment.is_used:
            return changed, frozenset()
        for place, index in enumerate(chosen):
            row = self._rows[index]
            made = augmented(row, augment, random.Random(f"augment/{seed}/{epoch}/{place}"))
            if self._near_words is not None:
                draw = random.Random(f"near words/{seed}/{epoch}/{place}")
                picked = draw.random() < augment.near_words
                varied = with_near_words(made, self._near_words, draw) if picked else made
                if varied.text != made.text:
                    made = varied
                    relabelled.add(place)
            if made is not row:
                changed[place] = made
        return changed, frozenset(relabelled)

    def _targets_of(
        self, indices: list[int], rows: Sequence[LabelledRow], relabelled: torch.Tensor
    ) -> torch.Tensor:
        """What is to be learnt of rows, as they are in this epoch."""
        if self._teacher is None:
            return self._targets[indices]
        answers = torch.from_numpy(self._teacher.classify([row.pair for row in rows]))
        weights = torch.full((len(rows), 1), self._settings.distillation_weight)
        weights[relabelled] = 1.0
        return soft_targets(self._labels[indices], answers, weights)


def soft_targets(
    labels: torch.Tensor, answers: torch.Tensor, weight: float | torch.Tensor
) -> torch.Tensor:
    """Targets (n, 3): the labels (n,) mixed with a teacher's probabilities (n, 3).

    (1 − w) · one-hot + w · probabilities (distillation; Hinton et al. 2015); `weight` w of all
    rows, or of each, shape (n, 1).
    """
    certain = torch.nn.functional.one_hot(labels, len(LABELS)).float()
    return (1 - weight) * certain + weight * answers


def _certain(label: int) -> tuple[float, float, float]:
    negative, neutral, positive = (float(label == other) for other in range(len(LABELS)))
    return negative, neutral, positive
