"""From (text, target) pairs to token ids, with the `tokenizers` library (it releases the GIL)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from undertone_models.calibration import Calibration
from undertone_models.marking import TargetMarkers, marked
from undertone_models.pairs import LABELS, EncodedPair, FloatArray, Pair

# Scoring starts threads, and a fork after the tokenizer's own pool has started would hang.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class EncodedBatch(NamedTuple):
    """A padded batch: three int64 arrays of shape (rows, longest)."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    type_ids: NDArray[np.int64]


class PairEncoder:
    """Encode pairs: text first, target second; a text that is too long loses its end.

    With `markers`, the target is also marked where it stands in the text. Truncation is the
    library's `longest_first`, which shortens only the longer of the two: the text, unless a target
    alone is longer than half of `max_tokens`.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_tokens: int, markers: TargetMarkers | None = None
    ) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        self._tokenizer = tokenizer
        self._markers = markers
        self.max_tokens = max_tokens

    def encode(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        """Encode each pair, in order; a pair without target is its text alone."""
        inputs = []
        for pair in pairs:
            text = pair.text if self._markers is None else marked(pair, self._markers)
            inputs.append(text if pair.target is None else (text, pair.target))
        encodings = self._tokenizer.encode_batch_fast(inputs)
        return [EncodedPair(encoding.ids, encoding.type_ids) for encoding in encodings]


def padded(pairs: Sequence[EncodedPair], pad_id: int, multiple: int = 1) -> EncodedBatch:
    """Pad to the longest pair, rounded up to a multiple where a device likes few shapes."""
    longest = max(len(pair.ids) for pair in pairs)
    width = -(-longest // multiple) * multiple
    shape = (len(pairs), width)
    ids = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    type_ids = np.zeros(shape, dtype=np.int64)
    for row, pair in enumerate(pairs):
        length = len(pair.ids)
        ids[row, :length] = pair.ids
        mask[row, :length] = 1
        type_ids[row, :length] = pair.type_ids
    return EncodedBatch(ids, mask, type_ids)


def probabilities(
    logits: FloatArray, columns: Sequence[Sequence[int]], calibration: Calibration
) -> FloatArray:
    """Softmax of `logits` (n, outputs), calibrated, as probabilities (n, 3) of LABELS.

    `columns` says which outputs each label is: several are summed, and without any it is 0.
    """
    assert len(columns) == len(LABELS)
    assert logits.shape[1] == sum(map(len, columns))
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = calibration.apply(exponents / exponents.sum(axis=1, keepdims=True))
    return np.stack([shares[:, list(outputs)].sum(axis=1) for outputs in columns], axis=1)
