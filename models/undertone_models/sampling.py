"""Which rows a training sees, how often, and in what order: functions of (seed, epoch) alone."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from undertone_models.labelled import LabelledRow
from undertone_models.pairs import LABELS
from undertone_models.training_settings import TrainingError, TrainingSettings

BATCHES_PER_BUCKET = 64


def few_shot(rows: Sequence[LabelledRow], per_label: int, seed: int) -> list[LabelledRow]:
    """`per_label` rows of each label (all, where there are fewer), in the order of `rows`.

    The sources share a label's rows evenly, as far as each has so many.
    """
    draw = random.Random(f"few shot/{seed}")
    chosen: list[int] = []
    for label in range(len(LABELS)):
        by_source: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            if row.label == label:
                by_source[row.source].append(index)
        queues = [by_source[source] for source in sorted(by_source)]
        for queue in queues:
            draw.shuffle(queue)
        turns = [queue[turn] for turn in range(per_label) for queue in queues if turn < len(queue)]
        chosen += turns[:per_label]
    return [rows[index] for index in sorted(chosen)]


def check_rows(rows: Sequence[LabelledRow], settings: TrainingSettings) -> None:
    """Raise TrainingError where these rows cannot train what the settings ask for."""
    seen = [row for row in rows if passes_of(row, settings.passes) > 0]
    missing = [label for number, label in enumerate(LABELS) if number not in _labels(seen)]
    if missing:
        raise TrainingError(
            f"--data: no rows to train on with label {', '.join(missing)}",
            hint="a model learns only labels that it is shown: add rows of each",
        )
    if settings.teacher and not settings.distillation_weight:
        raise TrainingError(
            "teacher: distillation_weight is 0, so nothing is learnt from it",
            hint="say how much its answers count against the labels: --distillation-weight 0.5",
        )
    if settings.augment.near_words and not settings.teacher:
        raise TrainingError(
            "augment.near_words: other words may have another label, and there is no teacher",
            hint="name a checkpoint that labels them: --teacher FOLDER --distillation-weight 0.5",
        )
    if settings.distillation_weight and not settings.teacher and not any(r.soft for r in rows):
        raise TrainingError(
            "distillation_weight: no row has p_negative, p_neutral and p_positive",
            hint="name a --teacher, or add them (undertone classify --data … --json prints them)",
        )


def group_of(row: LabelledRow, passes: Mapping[str, float]) -> str:
    """The name that `passes` counts a row under: `source/label` where it says that, or `source`."""
    name = f"{row.source}/{LABELS[row.label]}"
    return name if name in passes else row.source


def passes_of(row: LabelledRow, passes: Mapping[str, float]) -> float:
    """How often an epoch sees a row, in the mean."""
    return passes.get(group_of(row, passes), 1.0)


def groups_without_rows(rows: Sequence[LabelledRow], settings: TrainingSettings) -> list[str]:
    """The names in `passes` that no row is counted under: a recipe may know more than are given."""
    return sorted(set(settings.passes) - {group_of(row, settings.passes) for row in rows})


def _labels(rows: Sequence[LabelledRow]) -> set[int]:
    return {row.label for row in rows}


def class_weights(rows: Sequence[LabelledRow], settings: TrainingSettings) -> list[float]:
    """The weight of each label in the loss; `balanced` is inverse to its number of rows, mean 1."""
    if isinstance(settings.class_weights, tuple):
        return list(settings.class_weights)
    if settings.class_weights == "none":
        return [1.0] * len(LABELS)
    seen = [0.0] * len(LABELS)
    for row in rows:
        seen[row.label] += passes_of(row, settings.passes)
    return [sum(seen) / (len(LABELS) * count) if count else 0.0 for count in seen]


def epoch_rows(
    groups: Sequence[str], passes: Mapping[str, float], seed: int, epoch: int
) -> list[int]:
    """Row indices of one epoch: each as often as `passes` says of its group (default once).

    Of a fraction, a sample is drawn anew in each epoch; every epoch has the same length.
    """
    if not passes:
        return list(range(len(groups)))
    by_group: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        by_group[group].append(index)
    chosen: list[int] = []
    for group in sorted(by_group):
        indices = by_group[group]
        fraction, whole = math.modf(passes.get(group, 1.0))
        chosen += indices * int(whole)
        draw = random.Random(f"passes/{seed}/{epoch}/{group}")
        chosen += draw.sample(indices, round(fraction * len(indices)))
    return sorted(chosen)


def epoch_batches(
    lengths: Sequence[int], settings: TrainingSettings, epoch: int
) -> list[list[int]]:
    """The batches of one epoch: indices into `lengths`, each once.

    Rows are shuffled, then sorted by length within buckets of some thousand rows, so that a batch
    holds rows of like length (little padding) while the order stays random.
    """
    size = settings.batch_size
    draw = random.Random(settings.seed * 1_000 + epoch)
    order = list(range(len(lengths)))
    draw.shuffle(order)
    epoch_batches: list[list[int]] = []
    bucket_rows = size * BATCHES_PER_BUCKET
    for start in range(0, len(order), bucket_rows):
        bucket = sorted(order[start : start + bucket_rows], key=lambda i: (lengths[i], i))
        epoch_batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    draw.shuffle(epoch_batches)
    return epoch_batches


def batches(lengths: Sequence[int], settings: TrainingSettings) -> Iterator[list[int]]:
    """Yield batches of row indices for ever, epoch after epoch."""
    epoch = 0
    while True:
        yield from epoch_batches(lengths, settings, epoch)
        epoch += 1


def steps_of_epoch(rows_total: int, settings: TrainingSettings) -> int:
    """The steps of an epoch of so many rows; the last batch of an epoch may be smaller."""
    return math.ceil(rows_total / settings.batch_size)


def steps_of_run(rows_total: int, settings: TrainingSettings) -> int:
    """The steps of a whole training, at least one."""
    return max(1, round(settings.epochs * steps_of_epoch(rows_total, settings)))
