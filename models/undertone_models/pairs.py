"""What a classifier reads and what it calls its answers: pairs, encoded pairs, labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LABELS = ("negative", "neutral", "positive")

FloatArray = NDArray[np.float32]


Span = tuple[int, int]
"""Characters `[start, end)` of a text."""


class Pair(NamedTuple):
    """A text, and the mention in it whose sentiment is asked for (None: the whole text).

    `span` says where in the text the target stands; None leaves it to be found.
    """

    text: str
    target: str | None = None
    span: Span | None = None


class EncodedPair(NamedTuple):
    """One pair as a model reads it; `len(pair.ids)` is its number of tokens."""

    ids: list[int]
    type_ids: list[int]
