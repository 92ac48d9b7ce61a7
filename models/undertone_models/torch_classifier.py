"""The GPU engine: torch, bfloat16 and fused attention on CUDA; float32 on a CPU by request."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from undertone_models.batching import pack
from undertone_models.checkpoint import Checkpoint, CheckpointError
from undertone_models.encoding import PairEncoder, padded, probabilities
from undertone_models.pairs import LABELS, EncodedPair, FloatArray, Pair

CUDA_TOKEN_BUDGET = 65_536
CPU_TOKEN_BUDGET, CPU_PASS_TOKENS = 2048, 32
# Few widths: compiled kernels and tensor cores like them.
CUDA_WIDTH_MULTIPLE = 8


class TorchClassifier:
    """Runs any Hugging Face sequence classifier's safetensors."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int | None = None,
        max_tokens: int | None = None,
        token_budget: int | None = None,
        device: str | None = None,
        compile_model: bool = False,
    ) -> None:
        """`device` is `cuda` or `cpu` (None: CUDA where there is one); `compile_model` is for CUDA.

        `threads` sets torch's threads for the whole process, as torch has it.
        """
        self.name = checkpoint.name
        self._checkpoint = checkpoint
        self._device = _device(device)
        if threads is not None and self._device.type == "cpu":
            torch.set_num_threads(threads)
        on_cuda = self._device.type == "cuda"
        self.token_budget = token_budget or (CUDA_TOKEN_BUDGET if on_cuda else CPU_TOKEN_BUDGET)
        # A device takes as long to be given a small batch as a large one.
        self.pass_tokens = self.token_budget if on_cuda else CPU_PASS_TOKENS
        self._encoder = PairEncoder(
            checkpoint.tokenizer(), checkpoint.limited(max_tokens), checkpoint.target_markers
        )
        model = load_model(checkpoint, torch.bfloat16 if on_cuda else torch.float32)
        self._reads_type_ids = "token_type_ids" in inspect.signature(model.forward).parameters
        if checkpoint.prefix_path.exists():
            from undertone_models.adapters import with_prefix

            model = with_prefix(model, checkpoint)
        self._model = model.to(self._device)
        if compile_model and on_cuda:
            self._model = torch.compile(self._model, dynamic=True)
        self._lock = threading.Lock()
        self._width_multiple = CUDA_WIDTH_MULTIPLE if on_cuda else 1
        # While the device works on one batch, another is padded, copied and launched.
        self.forwards_at_once = 2 if on_cuda else 1

    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        """Encode each pair, in order."""
        return self._encoder.encode(pairs)

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        """Probabilities of one batch, shape (n, 3). Raises MemoryError, also for the device's."""
        try:
            return self._probabilities(self._launched(batch))
        except torch.OutOfMemoryError as error:
            raise MemoryError(_first_line(error)) from None

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        """Probabilities of all pairs, in their order; the device is waited for once, at the end."""
        encoded = self.tokenise(pairs)
        result = np.empty((len(encoded), len(LABELS)), dtype=np.float32)
        lengths = [len(pair.ids) for pair in encoded]
        batches = pack(lengths, self.token_budget, self.pass_tokens)
        launched = [self._launched([encoded[index] for index in batch]) for batch in batches]
        for batch, logits in zip(batches, launched, strict=True):
            result[batch] = self._probabilities(logits)
        return result

    def _launched(self, batch: Sequence[EncodedPair]) -> torch.Tensor:
        """The logits of one batch, which a CUDA device may still be working on."""
        ids, mask, type_ids = padded(batch, self._checkpoint.pad_id, self._width_multiple)
        inputs = {"input_ids": self._moved(ids), "attention_mask": self._moved(mask)}
        if self._reads_type_ids:
            inputs["token_type_ids"] = self._moved(type_ids)
        with self._lock, torch.inference_mode():
            logits: torch.Tensor = self._model(**inputs).logits
        return logits

    def _probabilities(self, logits: torch.Tensor) -> FloatArray:
        return probabilities(
            logits.float().cpu().numpy(),
            self._checkpoint.label_columns,
            self._checkpoint.calibration,
        )

    def _moved(self, array: Any) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor


def load_model(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """The checkpoint's model in evaluation mode: safetensors only, no code of the checkpoint.

    Raises CheckpointError, also when the file lacks some weights (a bare encoder has no head, and
    a random one must not be used).
    """
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    path = checkpoint.path
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            str(path),
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors, transformers and json each raise their own
        raise CheckpointError(
            f"{path}: the weights cannot be read: {_first_line(error)}",
            hint="the folder must hold model.safetensors of an architecture that transformers has;"
            " pickled weights are not loaded, and code of a checkpoint is not run",
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"{path}: no sentiment classifier: it lacks {', '.join(missing[:4])}")
    outputs = sum(map(len, checkpoint.label_columns))
    if model.config.num_labels != outputs:
        raise CheckpointError(f"{path}: {model.config.num_labels} outputs, expected {outputs}")
    return model.eval()


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CheckpointError(
            "device cuda: torch finds no CUDA device", hint="leave it out, or use --engine onnx"
        )
    return torch.device(name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
