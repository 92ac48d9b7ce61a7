"""The CPU engines beside each other on the same texts, in one process.

Prints JSON: `onnx_per_torch` is rows a second of the int8 ONNX engine ÷ those of torch in 32 bits;
`packed_per_arrival_order` is the ONNX engine with packing by token budget ÷ batches of 32 in order
of arrival. Medians of five interleaved rounds. Texts come from the simulator.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from undertone.simulate.scenarios import build_scenario
from undertone_models.classifier import Pair, SentimentClassifier, load_classifier

TEXTS = 384
ROUNDS = 5
THREADS = 2


def texts() -> list[Pair]:
    """Texts of the scripted demo, short posts and longer news mixed."""
    entries = build_scenario("demo", seed=1).entries
    messages = [entry.message for entry in entries if entry.message is not None]
    step = len(messages) // TEXTS
    return [
        Pair(" ".join(filter(None, (message.title, message.text))), "Halvermoor")
        for message in messages[::step][:TEXTS]
    ]


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_arrival_order(classifier: SentimentClassifier, pairs: list[Pair]) -> np.ndarray:
    """Batches of 32 as they come."""
    encoded = classifier.tokenise(pairs)
    return np.concatenate(
        [classifier.forward(encoded[low : low + 32]) for low in range(0, len(encoded), 32)]
    )


def main() -> None:
    """Print the medians."""
    pairs = texts()
    onnx = load_classifier("onnx", threads=THREADS)
    torch = load_classifier("torch", threads=THREADS, device="cpu")
    for classifier in (onnx, torch):
        classifier.classify(pairs[:32])
    engines, packing = [], []
    for _ in range(ROUNDS):
        packed = seconds(lambda: onnx.classify(pairs))
        engines.append(seconds(lambda: torch.classify(pairs)) / packed)
        packing.append(seconds(lambda: in_arrival_order(onnx, pairs)) / packed)
    print(
        json.dumps(
            {
                "onnx_per_torch": round(statistics.median(engines), 2),
                "packed_per_arrival_order": round(statistics.median(packing), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
