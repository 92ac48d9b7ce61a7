"""What it costs the int8 CPU engine to fill batches to the token budget, not caring for padding.

Prints JSON: `filled_per_packed_N`, where N pairs wait together, is the CPU time of their passes in
as few batches as the budget allows ÷ in those that `pack` makes; `pass_tokens` is what a pass costs
beside its tokens, in tokens, from pairs of like length alone and by eight. All by turns in one
thread, medians of five rounds.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from parts.rounds import by_turns, is_quick, ratio, tell
from parts.scoring import pairs_of
from parts.texts import encoded, histogram, mixed_rows

from undertone_models.batching import pack
from undertone_models.classifier import EncodedPair, SentimentClassifier, load_classifier

TEXTS, QUICK_TEXTS = 1_024, 128
WAITING = (2, 4, 8, 16, 64, 1_024)
WHATEVER_PADDING = 1_000_000
EIGHT = 8


def cpu_seconds(classifier: SentimentClassifier, batches: Sequence[Sequence[EncodedPair]]) -> float:
    """The CPU time of their forward passes."""
    began = time.thread_time()
    for batch in batches:
        classifier.forward(batch)
    return time.thread_time() - began


def batches_of(
    tokens: Sequence[EncodedPair], waiting: int, token_budget: int, pass_tokens: int
) -> list[list[EncodedPair]]:
    """Pairs as they come, so many at a time, packed."""
    found = []
    for low in range(0, len(tokens), waiting):
        some = tokens[low : low + waiting]
        lengths = [len(pair.ids) for pair in some]
        found += [[some[i] for i in batch] for batch in pack(lengths, token_budget, pass_tokens)]
    return found


def pass_tokens(
    alone: Sequence[float], by_eight: Sequence[float], tokens: Sequence[EncodedPair]
) -> float:
    """From the CPU times of all pairs in batches of one and of eight."""
    passes = len(tokens) * (1 - 1 / EIGHT)
    a_pass = statistics.median(
        (one - eight) / passes for one, eight in zip(alone, by_eight, strict=True)
    )
    a_token = (statistics.median(alone) - len(tokens) * a_pass) / sum(
        len(pair.ids) for pair in tokens
    )
    return a_pass / a_token


def main() -> None:
    """Print the figures."""
    quick = is_quick(__doc__)
    classifier = load_classifier("onnx", threads=1, batch_a_thread=True)
    values = encoded(mixed_rows(QUICK_TEXTS if quick else TEXTS))
    tokens = classifier.tokenise(pairs_of(values))
    random.Random(0).shuffle(tokens)
    ordered = sorted(tokens, key=lambda pair: len(pair.ids))
    ways = {
        "alone": [[pair] for pair in ordered],
        "by_eight": [ordered[low : low + EIGHT] for low in range(0, len(ordered), EIGHT)],
    }
    for waiting in WAITING:
        budget, a_pass = classifier.token_budget, classifier.pass_tokens
        ways[f"packed_{waiting}"] = batches_of(tokens, waiting, budget, a_pass)
        ways[f"filled_{waiting}"] = batches_of(tokens, waiting, budget, WHATEVER_PADDING)
    found = by_turns(
        {name: lambda way=way: cpu_seconds(classifier, way) for name, way in ways.items()},
        quick=quick,
    )
    tell(
        {
            **{
                f"filled_per_packed_{n}": ratio(found[f"filled_{n}"], found[f"packed_{n}"])
                for n in WAITING
            },
            "pass_tokens": pass_tokens(found["alone"], found["by_eight"], tokens),
        },
        token_lengths=histogram([len(pair.ids) for pair in tokens]),
    )


if __name__ == "__main__":
    main()
