"""What stands between the model's arithmetic and Kafka: a scorer beside bare forward passes.

Prints JSON: `stream_per_forward` is mentions a second of a scorer that reads a topic filled before
and writes mentions (cache off, everything matched) ÷ pairs a second of forward passes over the same
pairs, tokenised before and packed by length over all of them; `real_per_processed_tokens` is how
many of the tokens that the scorer's passes processed were no padding. Medians of five interleaved
rounds on the int8 CPU engine.
"""

from __future__ import annotations

from parts.rounds import by_turns, is_quick, ratio, seconds, tell
from parts.scoring import (
    THREADS,
    answered,
    broker,
    fresh_settings,
    mentions_a_second,
    pairs_of,
    score_all,
    total,
)
from parts.texts import encoded, histogram, mixed_rows

from undertone_models.batching import forward_packed
from undertone_models.classifier import load_classifier

MESSAGES, QUICK_MESSAGES = 3_000, 1_000


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    values = encoded(mixed_rows(QUICK_MESSAGES if quick else MESSAGES))
    classifier = load_classifier("onnx", threads=THREADS)
    tokens = classifier.tokenise(pairs_of(values))
    classifier.forward(tokens[:16])
    fills = []
    with broker() as kafka:

        def stream() -> float:
            settings = fresh_settings(kafka, threads=THREADS)
            registry = score_all(settings, values, classifier)
            real = total(registry, "undertone_score_tokens_total", kind="real")
            fills.append(real / total(registry, "undertone_score_tokens_total"))
            return mentions_a_second(answered(settings))

        def forward() -> float:
            budget, call = classifier.token_budget, classifier.forward
            return len(tokens) / seconds(lambda: forward_packed(tokens, budget, call))

        found = by_turns({"stream": stream, "forward": forward}, quick=quick)
    tell(
        {
            "stream_per_forward": ratio(found["stream"], found["forward"]),
            "real_per_processed_tokens": sorted(fills)[len(fills) // 2],
        },
        token_lengths=histogram([len(pair.ids) for pair in tokens]),
    )


if __name__ == "__main__":
    main()
