"""The CPU engine: ONNX Runtime, int8 weights, no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import onnxruntime

from undertone_models.batching import forward_packed
from undertone_models.checkpoint import Checkpoint, CheckpointError
from undertone_models.encoding import PairEncoder, padded, probabilities
from undertone_models.pairs import EncodedPair, FloatArray, Pair

# So many tokens' activations stay in a core's cache; 2048 took a third longer a token.
DEFAULT_TOKEN_BUDGET = 512
# What a pass of one row costs beyond its share of a batch's, in tokens of the bundled model.
PASS_TOKENS = 8
# One node for a sum and its norm, which runs at a fifth of the speed of the two apart.
SLOW_FUSIONS = ["SkipLayerNormFusion"]
OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")


class OnnxClassifier:
    """Runs a checkpoint's `model.onnx` on the CPU."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int | None = None,
        max_tokens: int | None = None,
        token_budget: int | None = None,
        batch_a_thread: bool = False,
    ) -> None:
        """`threads` are those of one forward pass (None: one a physical core).

        With `batch_a_thread` as many forward passes run at once instead, each in one thread.
        """
        self.name = checkpoint.name
        self.forwards_at_once = threads or os.cpu_count() or 1 if batch_a_thread else 1
        self.token_budget = token_budget or DEFAULT_TOKEN_BUDGET
        self.pass_tokens = PASS_TOKENS
        self._checkpoint = checkpoint
        self._encoder = PairEncoder(
            checkpoint.tokenizer(), checkpoint.limited(max_tokens), checkpoint.target_markers
        )
        self._session = _session(checkpoint, 1 if batch_a_thread else threads)
        self._inputs = {value.name for value in self._session.get_inputs()}

    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        """Encode each pair, in order."""
        return self._encoder.encode(pairs)

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        """Probabilities of one batch, shape (n, 3). Raises MemoryError."""
        ids, mask, type_ids = padded(batch, self._checkpoint.pad_id)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": type_ids}
        try:
            (logits,) = self._session.run(
                None, {name: array for name, array in feed.items() if name in self._inputs}
            )
        except Exception as error:  # onnxruntime has no class of its own for memory
            if any(words in str(error) for words in OUT_OF_MEMORY):
                raise MemoryError(str(error)) from None
            raise
        return probabilities(
            np.asarray(logits, dtype=np.float32),
            self._checkpoint.label_columns,
            self._checkpoint.calibration,
        )

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        """Probabilities of all pairs, in their order."""
        encoded = self.tokenise(pairs)
        return forward_packed(
            encoded, self.token_budget, self.pass_tokens, self.forward, self.forwards_at_once
        )


def _session(checkpoint: Checkpoint, threads: int | None) -> onnxruntime.InferenceSession:
    checkpoint.require_no_prefix("engine onnx")
    path = checkpoint.onnx_path
    if not path.exists():
        raise CheckpointError(
            f"{checkpoint.path}: no {path.name}, which the ONNX engine reads",
            hint=f"make it with: undertone quantise {checkpoint.path}",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Threads that spin between batches would take the cores from the tokeniser's and Kafka's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=SLOW_FUSIONS,
        )
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise CheckpointError(f"{path}: cannot be read as an ONNX model: {error}") from error
