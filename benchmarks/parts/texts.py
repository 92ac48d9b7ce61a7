"""The texts that benchmarks read: recorded titles and tweets, else those of the simulator."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from undertone.simulate.scenarios import build_scenario

STREAMS = Path(__file__).parents[3] / "shared" / "data" / "streams"
TITLES = STREAMS / "reuters_all_2008_09_10.jsonl.gz"
TWEETS = STREAMS / "stocknet_2014.jsonl.gz"
BIN_TOKENS = 8

Row = dict[str, Any]


def mixed_rows(count: int) -> list[Row]:
    """So many messages with texts of their own, titles and tweets by turns."""
    if not (TITLES.exists() and TWEETS.exists()):
        return _distinct(_simulated(), count)
    titles, tweets = (_distinct(_recorded(path), -(-count // 2)) for path in (TITLES, TWEETS))
    return [row for pair in zip(titles, tweets, strict=True) for row in pair][:count]


def real_rows(count: int) -> list[Row]:
    """So many titles in the order in which they came, copies included."""
    rows = _recorded(TITLES) if TITLES.exists() else _simulated()
    return list(islice(rows, count))


def encoded(rows: Iterable[Row]) -> list[bytes]:
    """Rows as values of raw records."""
    return [json.dumps(row, ensure_ascii=False).encode() for row in rows]


def histogram(lengths: Sequence[int]) -> dict[str, int]:
    """How many texts have how many tokens, in bins of eight."""
    bins = Counter(length // BIN_TOKENS for length in lengths)
    return {f"{BIN_TOKENS * low}-{BIN_TOKENS * low + 7}": bins[low] for low in sorted(bins)}


def _recorded(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            row["subjects"] = row.pop("entities", [])
            yield row


def _simulated() -> Iterator[Row]:
    for seed in range(1, 1000):
        for entry in build_scenario("demo", seed=seed).entries:
            if entry.message is not None:
                yield json.loads(entry.message.to_json())


def _distinct(rows: Iterable[Row], count: int) -> list[Row]:
    by_text: dict[str, Row] = {}
    for row in rows:
        by_text.setdefault(row["text"], row)
        if len(by_text) == count:
            break
    return list(by_text.values())
