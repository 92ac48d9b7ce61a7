"""How the learning rate runs over a training: a share of the highest rate for each step."""

from __future__ import annotations

import math

from undertone_models.training_settings import TrainingSettings


def rate_share(step: int, steps_total: int, settings: TrainingSettings) -> float:
    """The share (0 to 1] of the highest rate that step 0 … `steps_total` − 1 takes.

    It rises linearly over the warm-up; then `linear` and `cosine` (Loshchilov & Hutter 2017) fall
    to 0 at the end, and `stable` stays until the last `decay_share` of the steps and then falls
    linearly (warm-up–stable–decay; Hu et al. 2024).
    """
    warmup = max(1, round(settings.warmup_share * steps_total))
    if step < warmup:
        return (step + 1) / warmup
    left = max(0, steps_total - step)
    if settings.schedule == "stable":
        return min(1.0, left / max(1, round(settings.decay_share * steps_total)))
    share_left = left / max(1, steps_total - warmup)
    if settings.schedule == "cosine":
        return (1 - math.cos(math.pi * share_left)) / 2
    return share_left
