"""What a sentiment classifier is, whatever runs it, and how one is loaded."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from undertone_models.calibration import Calibration
from undertone_models.checkpoint import Checkpoint, CheckpointError, require_torch, resolve
from undertone_models.pairs import LABELS, EncodedPair, FloatArray, Pair
from undertone_models.stub_classifier import StubClassifier

__all__ = [
    "LABELS",
    "EncodedPair",
    "Engine",
    "FloatArray",
    "Pair",
    "SentimentClassifier",
    "StubClassifier",
    "load_classifier",
]

log = logging.getLogger(__name__)

Engine = Literal["auto", "onnx", "torch", "stub"]


class SentimentClassifier(Protocol):
    """Reads pairs; a pair's answer does not depend on what shares its batch.

    `tokenise` and `forward` are the two halves of `classify`, apart so that a pipeline can overlap
    them in threads. All three may be called from any thread; `forward` from `forwards_at_once`.
    """

    @property
    def name(self) -> str:
        """`name@version` of the checkpoint."""

    @property
    def token_budget(self) -> int:
        """The most padded tokens (rows × longest row) that one `forward` should be given."""

    @property
    def pass_tokens(self) -> int:
        """What one `forward` costs beside its tokens, in tokens.

        Rows of unlike length share a batch where their padding costs less.
        """

    @property
    def forwards_at_once(self) -> int:
        """How many threads should call `forward` at the same time, each with its batch."""

    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        """Encode each pair, in order."""

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        """Probabilities of one batch: shape (n, 3), columns as LABELS, rows sum to 1."""

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        """Probabilities of any number of pairs, in their order: tokenise, pack, forward."""


def load_classifier(
    engine: Engine = "auto",
    model: str | Path | None = None,
    *,
    threads: int | None = None,
    max_tokens: int | None = None,
    token_budget: int | None = None,
    device: str | None = None,
    compile_model: bool = False,
    batch_a_thread: bool = False,
    calibrated: bool = True,
) -> SentimentClassifier:
    """Load a checkpoint (a folder, a hub name, or None: the bundled one) into an engine.

    `auto` is torch where there is CUDA, else ONNX Runtime; a checkpoint without `model.onnx` is
    read with torch. `threads` are those of one forward pass on a CPU (None: the library's own
    choice); with `batch_a_thread` the ONNX engine gives each a batch of its own, for callers that
    keep `forwards_at_once` of them busy. `device` and `compile_model` concern torch alone. Without
    `calibrated`, probabilities are as the weights give them. Raises CheckpointError.
    """
    if engine == "stub":
        return StubClassifier()
    if engine not in ("auto", "onnx", "torch"):
        raise CheckpointError(f"engine: expected auto, onnx, torch or stub, not {engine!r}")
    checkpoint = Checkpoint.load(resolve(model))
    if not calibrated:
        checkpoint = replace(checkpoint, calibration=Calibration())
    if checkpoint.label_note:
        log.warning("%s", checkpoint.label_note)
    if engine == "auto":
        engine = _best_engine(checkpoint)
    if engine == "onnx":
        from undertone_models.onnx_classifier import OnnxClassifier

        return OnnxClassifier(
            checkpoint,
            threads=threads,
            max_tokens=max_tokens,
            token_budget=token_budget,
            batch_a_thread=batch_a_thread,
        )
    require_torch("engine torch")
    from undertone_models.torch_classifier import TorchClassifier

    return TorchClassifier(
        checkpoint,
        threads=threads,
        max_tokens=max_tokens,
        token_budget=token_budget,
        device=device,
        compile_model=compile_model,
    )


def _best_engine(checkpoint: Checkpoint) -> Literal["onnx", "torch"]:
    if find_spec("torch") is None:
        return "onnx"
    if not checkpoint.onnx_path.exists():
        return "torch"
    # Importing torch takes seconds, so ask first whether this machine has a driver at all.
    if not _cuda_driver_present():
        return "onnx"
    import torch

    return "torch" if torch.cuda.is_available() else "onnx"


def _cuda_driver_present() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
