"""A bounded memory of scores: the same text about the same target is read once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from undertone_models.answers import Scores
from undertone_models.classifier import Pair


class ScoreCache:
    """The most recently used scores of one model, keyed by (model, text, target).

    Keys are 16-byte digests, so an entry's size does not depend on its text. Safe in threads.
    """

    def __init__(self, model: str, entries: int) -> None:
        self._model = model
        self._entries = entries
        self._scores: OrderedDict[bytes, Scores] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, pair: Pair) -> Scores | None:
        """The scores of a pair, if it has been read lately."""
        if self._entries <= 0:
            return None
        key = pair_key(self._model, pair)
        with self._lock:
            scores = self._scores.get(key)
            if scores is not None:
                self._scores.move_to_end(key)
            return scores

    def put(self, pair: Pair, scores: Scores) -> None:
        """Remember a pair's scores; the pair not used for longest makes room."""
        if self._entries <= 0:
            return
        key = pair_key(self._model, pair)
        with self._lock:
            self._scores[key] = scores
            self._scores.move_to_end(key)
            if len(self._scores) > self._entries:
                self._scores.popitem(last=False)


def pair_key(model: str, pair: Pair) -> bytes:
    """16 bytes that stand for a pair as one model reads it."""
    digest = hashlib.blake2b(model.encode() + b"\0", digest_size=16)
    text = pair.text.encode("utf-8", "surrogatepass")
    digest.update(b"%d:" % len(text))
    digest.update(text)
    if pair.target is not None:
        digest.update(b"\0" + pair.target.encode("utf-8", "surrogatepass"))
    if pair.span is not None:
        digest.update(b"\0%d-%d" % pair.span)
    return digest.digest()
