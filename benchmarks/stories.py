"""How well fingerprints tell copies of a story from other stories, on labelled pairs.

Prints JSON for the part for judging of tests/data/story_pairs.jsonl: `f1` and `recall` of copies,
`false_merge_rate` (other stories taken for copies ÷ pairs of other stories), `n`, and by kind of
edit the share that was told right. `by_bits` is for choosing the threshold: f1 and false merges of
the part for choosing, at each number of bits.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from undertone.scoring.fingerprint import distance, fingerprint
from undertone.trends.stories import STORY_BITS

PAIRS = Path(__file__).parents[1] / "tests" / "data" / "story_pairs.jsonl"
Pair = dict[str, Any]


def read_pairs(part: str) -> list[Pair]:
    """The labelled pairs of one part, each with the `bits` in which its fingerprints differ."""
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    return [
        {**pair, "bits": distance(fingerprint(pair["one"]), fingerprint(pair["other"]))}
        for pair in pairs
        if pair["part"] == part
    ]


def figures(pairs: list[Pair], bits: int) -> dict[str, float]:
    """F1 and recall of copies, and the share of other stories that are merged."""
    merged = [pair["same"] for pair in pairs if pair["bits"] <= bits]
    copies = sum(pair["same"] for pair in pairs)
    found = sum(merged)
    return {
        "f1": round(2 * found / (len(merged) + copies), 3),
        "false_merge_rate": round((len(merged) - found) / (len(pairs) - copies), 3),
        "recall": round(found / copies, 3),
    }


def by_kind(pairs: list[Pair], bits: int) -> dict[str, dict[str, float]]:
    """For each kind of copy and of other story: the share told right, and how many there are."""
    right: dict[str, list[bool]] = defaultdict(list)
    for pair in pairs:
        name = f"{'copy' if pair['same'] else 'other'}/{pair['kind']}"
        right[name].append((pair["bits"] <= bits) == pair["same"])
    return {
        kind: {"right": round(sum(told) / len(told), 3), "n": len(told)}
        for kind, told in sorted(right.items())
    }


def main() -> None:
    """Print the figures."""
    judged, chosen = read_pairs("judge"), read_pairs("choose")
    print(
        json.dumps(
            {
                **figures(judged, STORY_BITS),
                "n": len(judged),
                "bits": STORY_BITS,
                "by_kind": by_kind(judged, STORY_BITS),
                "by_bits": {bits: figures(chosen, bits) for bits in range(13)},
            }
        )
    )


if __name__ == "__main__":
    main()
