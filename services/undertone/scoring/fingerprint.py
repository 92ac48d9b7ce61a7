"""Fingerprints: 64-bit sketches in which near-identical texts differ in few bits.

Simhash (Charikar 2002; Manku, Jain, Das Sarma 2007, "Detecting near-duplicates for web crawling")
over the words and word pairs of the normalised text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

import numpy as np
import xxhash
from numpy.typing import NDArray

BITS = 64

_RETWEET = re.compile(r"^\s*(?:(?:rt|mt)\s+@\w+\s*:?\s*)+", re.IGNORECASE)
_WIRE_PREFIX = re.compile(
    r"^\s*(?:(?:update|refile|corrected|correction|repeat|rpt|wrapup|exclusive|breaking)"
    r"(?:\s+\d+)?\s*[-:–—]\s*)+",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://\S+|www\.\S+|pic\.twitter\.com/\S+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<!\w)@\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")


def normalised_words(text: str) -> list[str]:
    """The words that make two copies the same: no case, links, handles, wire prefixes or marks.

    Each number becomes `0`; runs of CJK characters become their overlapping character pairs.
    """
    text = unicodedata.normalize("NFKC", text)
    text = _WIRE_PREFIX.sub("", _RETWEET.sub("", text))
    text = _HANDLE.sub(" ", _LINK.sub(" ", text))
    words: list[str] = []
    for token in _TOKEN.findall(_NUMBER.sub("0", text).lower()):
        if len(token) > 1 and _IS_CJK.match(token):
            words.extend(token[start : start + 2] for start in range(len(token) - 1))
        else:
            words.append(token)
    return words


def fingerprint(text: str) -> str:
    """The sketch of a text as 16 hex digits; texts without a word share that of emptiness."""
    words = normalised_words(text)
    features = [*words, *map(" ".join, pairwise(words))]
    if not features:
        return f"{0:016x}"
    votes = np.sum([_votes(feature) for feature in dict.fromkeys(features)], axis=0)
    bits = np.packbits(votes > 0)
    return bytes(bits).hex()


def distance(one: str, other: str) -> int:
    """In how many of the 64 bits two fingerprints differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


@lru_cache(maxsize=50_000)
def _votes(feature: str) -> NDArray[np.int8]:
    """+1 or −1 for each bit of the feature's hash; shape (64,)."""
    digest = xxhash.xxh3_64_digest(feature.encode("utf-8", "surrogatepass"))
    return np.unpackbits(np.frombuffer(digest, dtype=np.uint8)).astype(np.int8) * 2 - 1
