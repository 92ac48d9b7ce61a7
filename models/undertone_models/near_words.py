"""Words replaced by near ones: texts like those of the rows, for a teacher to label.

The augmentation of TinyBERT (Jiao et al. 2020), with the base encoder's own word vectors where they
use GloVe's and a masked language model. A near word may be the opposite (good, bad), so a text that
was changed keeps no label: a teacher's answer is learnt instead.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

NEIGHBOURS = 10
REPLACED_SHARE = 0.25  # of the words that have near ones
CHUNK_WORDS = 512

# In a vocabulary: a whole word, with the mark of a word's beginning that BPE and Unigram write.
_WHOLE_WORD = re.compile(r"[Ġ▁]?([^\W\d_]{2,})")
# In a text: a word, but for names of accounts, tags, tickers, and parts of addresses.
_WORD = re.compile(r"(?<![\w@#$/.])[^\W\d_]{2,}(?![\w/])")


class NearWords:
    """For each word that is one token of an encoder, those with the likest vectors."""

    def __init__(self, tokenizer: Tokenizer, vectors: torch.Tensor) -> None:
        """`vectors` are the encoder's input embeddings, shape (vocabulary, width)."""
        tokens = {
            match[1]: number
            for token, number in sorted(tokenizer.get_vocab().items())
            if (match := _WHOLE_WORD.fullmatch(token)) and number < len(vectors)
        }
        self._words = list(tokens)
        self._places = {word: place for place, word in enumerate(self._words)}
        self._near = _nearest(vectors.detach().float().cpu()[list(tokens.values())])

    def of(self, word: str) -> list[str]:
        """The words nearest to one, in small letters where it is known so; none where unknown."""
        place = self._places.get(word, self._places.get(word.lower()))
        return [] if place is None else [self._words[other] for other in self._near[place]]

    def replaced(self, text: str, draw: random.Random) -> str:
        """The text with about a quarter of its words replaced, in the case that they had."""

        def replacement(match: re.Match[str]) -> str:
            word = match.group()
            chance, choice = draw.random(), draw.random()
            near = self.of(word) if chance < REPLACED_SHARE else []
            return _in_case_of(word, near[int(choice * len(near))]) if near else word

        return _WORD.sub(replacement, text)


def _nearest(vectors: torch.Tensor) -> Sequence[Sequence[int]]:
    """The places of the `NEIGHBOURS` likest of each vector by cosine, itself left out."""
    if len(vectors) < 2:
        return [[] for _ in vectors]
    # What all vectors share says nothing of a word (Mu and Viswanath 2018).
    directions = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    count = min(NEIGHBOURS, len(vectors) - 1)
    near: list[list[int]] = []
    for start in range(0, len(directions), CHUNK_WORDS):
        likeness = directions[start : start + CHUNK_WORDS] @ directions.T
        rows = torch.arange(len(likeness))
        likeness[rows, start + rows] = -2.0
        near += likeness.topk(count, dim=1).indices.tolist()
    return near


def _in_case_of(word: str, other: str) -> str:
    if word.isupper():
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other
