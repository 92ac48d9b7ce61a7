"""From (text, target) pairs to token ids, with the `tokenizers` library (it releases the GIL)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from undertone_models.pairs import LABELS, EncodedPair, FloatArray, Pair

# Scoring starts threads, and a fork after the tokenizer's own pool has started would hang.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PAD_TO_MULTIPLE = 8


class EncodedBatch(NamedTuple):
    """A padded batch: three int64 arrays of shape (rows, longest)."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    type_ids: NDArray[np.int64]


class PairEncoder:
    """Encode pairs: text first, target second; a text that is too long loses its end.

    Truncation is the library's `longest_first`, which shortens only the longer of the two: the
    text, unless a target alone is longer than half of `max_tokens`.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens

    def encode(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        """Encode each pair, in order; a pair without target is its text alone."""
        inputs = [pair.text if pair.target is None else (pair.text, pair.target) for pair in pairs]
        encodings = self._tokenizer.encode_batch_fast(inputs)
        return [EncodedPair(encoding.ids, encoding.type_ids) for encoding in encodings]


def padded(pairs: Sequence[EncodedPair], pad_id: int) -> EncodedBatch:
    """Pad to the longest pair, rounded up so that few different shapes occur."""
    longest = max(len(pair.ids) for pair in pairs)
    width = -(-longest // PAD_TO_MULTIPLE) * PAD_TO_MULTIPLE
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


def probabilities(logits: FloatArray, order: Sequence[int], temperature: float) -> FloatArray:
    """Softmax of `logits` (n, 3) at a temperature, its columns put into the order of LABELS."""
    assert logits.shape[1] == len(LABELS)
    scaled = logits[:, list(order)].astype(np.float32) / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True)
    exponents = np.exp(scaled)
    return exponents / exponents.sum(axis=1, keepdims=True)
