"""What stands between the model's arithmetic and Kafka: a scorer beside bare forward passes.

Prints JSON: `stream_per_forward` is mentions a second of a scorer that reads a topic filled before
and writes mentions (cache off, everything matched) ÷ pairs a second of forward passes over the same
pairs, tokenised before and packed by length over all of them; `stream_per_forward_cpu` is the same
by CPU time of the process (the broker's not counted), which other work on the machine disturbs
less; `real_per_processed_tokens` is how many of the tokens that the scorer's passes processed were
no padding. Medians of five interleaved rounds on the int8 CPU engine.
"""

from __future__ import annotations

import statistics
import time

from parts.rounds import by_turns, is_quick, ratio, seconds, tell
from parts.scoring import (
    THREADS,
    answered,
    broker,
    forward_all,
    fresh_settings,
    mentions_a_second,
    pairs_of,
    real_share,
    score_all,
)
from parts.texts import encoded, histogram, mixed_rows

from undertone_models.classifier import load_classifier

MESSAGES, QUICK_MESSAGES = 4_000, 500


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    values = encoded(mixed_rows(QUICK_MESSAGES if quick else MESSAGES))
    classifier = load_classifier("onnx", threads=THREADS, batch_a_thread=True)
    tokens = classifier.tokenise(pairs_of(values))
    classifier.forward(tokens[:16])
    fills, stream_cpu, forward_cpu = [], [], []
    with broker() as kafka:

        def stream() -> float:
            settings = fresh_settings(kafka)
            run = score_all(settings, values, classifier)
            fills.append(real_share(run.registry))
            stream_cpu.append(run.cpu_seconds)
            return mentions_a_second(answered(settings), run.began_at)

        def forward() -> float:
            began = time.process_time()
            rate = len(tokens) / seconds(lambda: forward_all(classifier, tokens))
            forward_cpu.append((time.process_time() - began) / len(tokens))
            return rate

        found = by_turns({"stream": stream, "forward": forward}, quick=quick)
    tell(
        {
            "stream_per_forward": ratio(found["stream"], found["forward"]),
            "stream_per_forward_cpu": ratio(forward_cpu, stream_cpu),
            "real_per_processed_tokens": statistics.median(fills),
        },
        token_lengths=histogram([len(pair.ids) for pair in tokens]),
    )


if __name__ == "__main__":
    main()
