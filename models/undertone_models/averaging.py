"""One model from several finished checkpoints of one architecture: the mean of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from undertone_models.checkpoint import Checkpoint, CheckpointError
from undertone_models.torch_classifier import load_model


def averaged_weights(paths: Sequence[Path], shares: Sequence[float] | None = None) -> Any:
    """A model whose weights are the mean of these checkpoints', `shares` of each (None: alike).

    It helps where they were trained from the same start (model soups; Wortsman et al. 2022). Give
    it to `release` with the first one's tokenizer. Raises CheckpointError where they differ in
    architecture, labels or target markers.
    """
    shares = list(shares) if shares is not None else [1.0] * len(paths)
    if not paths or len(shares) != len(paths) or sum(shares) <= 0:
        raise CheckpointError("averaging: expected checkpoints, and a share of each")
    checkpoints = [Checkpoint.load(path) for path in paths]
    first = checkpoints[0]
    model = load_model(first, torch.float32)
    mean = {name: value * (shares[0] / sum(shares)) for name, value in _floating(model).items()}
    for checkpoint, share in zip(checkpoints[1:], shares[1:], strict=True):
        checkpoint.require_no_prefix("averaging")
        weights = _floating(load_model(checkpoint, torch.float32))
        if (
            {name: value.shape for name, value in weights.items()}
            != {name: value.shape for name, value in mean.items()}
            or checkpoint.label_columns != first.label_columns
            or checkpoint.target_markers != first.target_markers
        ):
            raise CheckpointError(
                f"{checkpoint.path}: cannot be averaged with {first.path}:"
                " another architecture, label order or target marking"
            )
        for name, value in weights.items():
            mean[name].add_(value, alpha=share / sum(shares))
    model.load_state_dict(mean, strict=False)
    return model.eval()


def _floating(model: Any) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
