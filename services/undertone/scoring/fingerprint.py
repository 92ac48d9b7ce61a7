"""Fingerprints: 64-bit sketches in which near-identical texts differ in few bits.

Simhash (Charikar 2002; Manku, Jain, Das Sarma 2007, "Detecting near-duplicates for web crawling")
over the words that carry the news and their pairs. What copies change is taken off first: labels,
marks, sources, numbers, small words. The first words weigh most: a headline says there whom it is
about, and copies differ at the end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import xxhash

BITS = 64

# A word weighs 10 at the start of a text, one less at each place, and 2 from the ninth on; the
# pair that it begins weighs half of it.
_FIRST_WEIGHT, _LEAST_WEIGHT = 10, 2
# A text with fewer words that carry news is a copy of its equals alone: a tweet of two words would
# swallow others.
_SHORT = 4
# A source or a tag goes where at least this many words stand before it.
_ENOUGH = 6
# Syndicated copies of a long text are cut or end differently: these first words tell which story
# it is.
_READ_WORDS = 64
# The weights of the words and of the pairs, last to first; all together less than one byte holds.
_WORD_WEIGHTS = [max(_FIRST_WEIGHT - place, _LEAST_WEIGHT) for place in range(_READ_WORDS)][::-1]
_PAIR_WEIGHTS = [weight // 2 for weight in _WORD_WEIGHTS]
# Where sources, tags and ellipses stand. No pattern that looks for the end reads more than this:
# some take the square of the length.
_TAIL_CHARACTERS = 100

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_RETWEET = re.compile(r"(?:.{0,40}\b)?[rm]t\s+@\w+\s*:?\s*(?=\S.{10})", re.IGNORECASE | re.DOTALL)
_LABELS = (
    "update|refile|corrected|correction|repeat|rpt|wrapup|exclusive|breaking|urgent|just in|text"
    "|reg|brief|factbox|feature|interview|analysis|markets|(?:us )?stocks|research alert"
    "|更新|快讯|更正|突发|速報"
)
_WIRE_PREFIX = re.compile(
    rf"\W*(?:(?:{_LABELS})(?:\s*\d+)?\s*[-:–—】]\s*|\((?:adds|updates)\b[^)]{{0,80}}\)\s*)+",
    re.IGNORECASE,
)
_LINK_OR_HANDLE = re.compile(
    r"(?:\bvia |\bcc )?(?<!\w)@\w+|https?://\S+|www\.\S+|pic\.twitter\.com/\S+", re.IGNORECASE
)
_CUT_OFF = re.compile(r"\w*\s*\.\.\.\W*$")
_TAGS = re.compile(r"(?:\s+(?:[#$]\w+|[^\w\s]+))+\s*$")
# What a correction puts right; or who says so, behind a bar, a dash or a colon.
_SOURCE = re.compile(
    r"(?:\s*\(not\b[^()]*\)|\s?[-–—|:]{1,2}\s?(?:\w+|[A-Z][\w.]*(?:[ -][A-Z][\w.]*){1,2}))\W*$"
)
_SOURCE_MARKS = frozenset("(-–—|:")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"(?:19|20)\d\d$")
_PERIOD = re.compile(r"[qh][1-4]$|[1-4][qh]$")
_TOKEN = re.compile(rf"[{_CJK}]+|\d+(?:[.,]\d+)*[^\W_{_CJK}]*|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")
_NUMERALS = """
    two three four five six seven eight nine ten eleven twelve fifteen twenty dozen dozens hundred
    hundreds thousand thousands million mln billion bln
"""
# English, like the labels above; other languages lose nothing but this refinement.
_SMALL_WORDS = """
    0 a about according after again amid an and are as at be by can cent company could did do does
    dollar dollars during eur euro euros following for from had has have he her his how i in into is
    it its just me my now of on or our out over pct per percent report reports s said say says she
    so source sources spokesman still than that the their them then there these they this those to
    today u us usd vs was we were what who will with would you your
"""
_AS_ZERO, _LEFT_OUT = frozenset(_NUMERALS.split()), frozenset(_SMALL_WORDS.split())


def normalised_words(text: str) -> list[str]:
    """The words that make two copies the same, as they come.

    No case, links, handles, labels, sources or closing tags; years and quarters stay, every other
    number becomes `0`. Runs of CJK characters become their overlapping character pairs.
    """
    bare = _bare(text).lower()
    words = [
        _number(token) if token[0].isdigit() else "0" if token in _AS_ZERO else token
        for token in _TOKEN.findall(bare)
    ]
    if bare.isascii() or not _IS_CJK.search(bare):
        return words
    return [part for word in words for part in _character_pairs(word)]


def fingerprint(text: str) -> str:
    """The sketch of a text as 16 hex digits; texts without a word share that of emptiness."""
    words = normalised_words(text)
    if not words:
        return f"{0:016x}"
    telling = [word for word in words if word not in _LEFT_OUT]
    if len(telling) < _SHORT:
        return _digest(" ".join(words)).hex()
    weights = _weights(telling[:_READ_WORDS])
    bits = np.unpackbits(np.frombuffer(_digests(weights), np.uint8)).reshape(-1, BITS)
    votes = np.frombuffer(bytes(weights.values()), np.uint8) @ bits
    return np.packbits(votes > sum(weights.values()) // 2).tobytes().hex()


def distance(one: str, other: str) -> int:
    """In how many of the 64 bits two fingerprints differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _weights(words: list[str]) -> dict[str, int]:
    """The weight of each word, and of each pair of neighbours, at its first place."""
    # Of equals the last counts in a dict: backwards, that is the first.
    weights = dict(zip(reversed(words), _WORD_WEIGHTS[-len(words) :], strict=True))
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    weights.update(zip(reversed(pairs), _PAIR_WEIGHTS[-len(pairs) :], strict=True))
    return weights


def _digests(features: Iterable[str]) -> bytes:
    """Eight bytes of each feature, of their UTF-8."""
    try:
        return b"".join(map(xxhash.xxh3_64_digest, map(str.encode, features)))
    except UnicodeEncodeError:  # half a character
        return b"".join(map(_digest, features))


def _digest(feature: str) -> bytes:
    return xxhash.xxh3_64_digest(feature.encode("utf-8", "surrogatepass"))


def _character_pairs(word: str) -> Sequence[str]:
    """The overlapping pairs of a run of CJK characters; any other word as it is."""
    if len(word) == 1 or not _IS_CJK.match(word):
        return (word,)
    return [word[start : start + 2] for start in range(len(word) - 1)]


def _bare(text: str) -> str:
    """The text without what copies put before and behind it."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    # Looking for a character costs a hundredth of looking for a pattern.
    if "@" in text and (found := _RETWEET.match(text)):
        text = text[found.end() :]
    if found := _WIRE_PREFIX.match(text):
        text = text[found.end() :]
    if "@" in text or "/" in text or ("." in text and "www." in text.lower()):
        text = _LINK_OR_HANDLE.sub(" ", text)
    text = text.rstrip()
    head, tail = text[:-_TAIL_CHARACTERS], text[-_TAIL_CHARACTERS:]
    if "..." in tail:
        tail = _CUT_OFF.sub("", tail)
    for pattern, may_match in ((_TAGS, _may_end_in_tags), (_SOURCE, _may_name_a_source)):
        shorter = pattern.sub("", tail) if may_match(tail) else tail
        if (head + shorter).count(" ") >= _ENOUGH - 1:
            tail = shorter
    return head + tail


def _may_end_in_tags(tail: str) -> bool:
    """Whether the last word begins as no word does: all that _TAGS takes off begins so."""
    words = tail.rsplit(None, 1)
    return bool(words) and not (words[-1][0].isalnum() or words[-1][0] == "_")


def _may_name_a_source(tail: str) -> bool:
    """Whether there is any mark with which a match of _SOURCE begins."""
    return not _SOURCE_MARKS.isdisjoint(tail)


def _number(token: str) -> str:
    """A token that begins with a digit: a year or a quarter as it is, else with `0` for numbers."""
    if _YEAR.match(token):
        return token
    if _PERIOD.match(token):
        return token[::-1]
    return _NUMBER.sub("0", token)
