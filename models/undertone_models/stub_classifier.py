"""A classifier without a model, for tests and benchmarks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import numpy as np

from undertone_models.pairs import LABELS, EncodedPair, FloatArray, Pair

_NEGATIVE = """
abysmal accident accused alarm alarming angry anger awful bad bankrupt bankruptcy bearish
betrayed boycott breach broke broken collapse collapsed collapses complaint complaints
contaminated crash crashed crashes crisis cuts danger dangerous dead death decline declines
default delay delayed denies died disappointed disappointing disaster disgusting dismal
disturbing down downgrade downgraded drop drops fail failed fails failure fall falls fear fears
fell fine fined fraud garbage guilty halt halted hate hated horrible illness injured
investigation lawsuit layoffs loss losses lost lousy mess miss missed misses outage outrage
plunge plunged plunges poison poisoned poor probe problem problems recall recalled recalls
recession refund rotten ruined sad scam scandal scared sick sink sinks slump slumps sued sues
terrible toxic trouble unsafe useless violation warn warning warns worse worst wreck wrong
"""
_POSITIVE = """
acclaimed advance amazing approval approved award awarded awesome beat beats beautiful best
better boom boost boosts breakthrough brilliant bullish celebrate celebrates climb climbs
delicious delight delighted delightful enjoy enjoyed excellent exceeded exceeds excited fabulous
fantastic favourite favorite gain gained gains generous glad good gorgeous great grew grows
growth happy helpful impressed impressive improve improved improves innovative jump jumps kind
love loved lovely loves outperform outperforms outstanding perfect pleased praise praised
praises profit profits progress proud rally rallies recommend record recover recovered recovery
reliable rise rises robust rose safe satisfied soar soared soars solid splendid strong success
successful superb surge surges surged terrific thank thanks thrilled top triumph up upgrade
upgraded win winner wins won wonderful
"""
_NEGATIVE_WORDS = frozenset(_NEGATIVE.split())
_POSITIVE_WORDS = frozenset(_POSITIVE.split())
_WORD = re.compile(r"[^\W_]+")
_OTHER, _BAD, _GOOD = 0, 1, 2


class StubClassifier:
    """A word-list classifier for tests and benchmarks: no model, the same answer everywhere.

    Each known word in the text counts once; the target is not read. Probabilities are
    (negative words + ¼, ½, positive words + ¼), scaled to sum to 1.
    """

    name = "stub@1"
    forwards_at_once = 1

    def __init__(
        self,
        *,
        delay_seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        token_budget: int = 4096,
    ) -> None:
        """`delay_seconds` is slept before each forward pass, to play a slow device."""
        self._delay_seconds, self._sleep = delay_seconds, sleep
        self.token_budget = self.pass_tokens = token_budget  # padding costs nothing

    def tokenise(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        """One token a word: whether it is a negative, a positive or another one."""
        return [_tokenise_words(pair.text) for pair in pairs]

    def forward(self, batch: Sequence[EncodedPair]) -> FloatArray:
        """Probabilities of one batch, shape (n, 3)."""
        if self._delay_seconds:
            self._sleep(self._delay_seconds)
        counts = [
            (pair.ids.count(_BAD) + 0.25, 0.5, pair.ids.count(_GOOD) + 0.25) for pair in batch
        ]
        array = np.array(counts, dtype=np.float32).reshape(len(batch), len(LABELS))
        return array / array.sum(axis=1, keepdims=True, dtype=np.float32)

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        """Probabilities of all pairs, in one forward pass."""
        return self.forward(self.tokenise(pairs))


def _tokenise_words(text: str) -> EncodedPair:
    words = _WORD.findall(text.lower())
    ids = [
        _BAD if word in _NEGATIVE_WORDS else _GOOD if word in _POSITIVE_WORDS else _OTHER
        for word in words
    ] or [_OTHER]
    return EncodedPair(ids, [0] * len(ids))
