"""How long a message takes through a scorer that has little to do, or nearly all it can.

Prints JSON, from the broker's stamp on the raw record to its stamp on the mention, int8 CPU engine:
`p50_per_allowed` is the median at 1% of the load that saturates the scorer ÷ one forward pass of
one pair + 20 ms; `p50_ms` that median, `forward_ms` the pass (both of the same moments, by turns);
`held_per_saturated` is the greatest share of the saturating load, in tenths, that it held for six
seconds with 99 of 100 messages within 250 ms (0 where it held none). Loads are Poisson streams, of
which another process sends each message when it is due; the saturating load is measured in the same
run, with a topic that was filled before.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context

from parts.rounds import QUICK_ROUNDS, ROUNDS, is_quick, seconds, tell
from parts.scoring import (
    PARTITIONS,
    THREADS,
    Answered,
    answered,
    broker,
    fresh_settings,
    mentions_a_second,
    messages_done,
    pairs_of,
    score_all,
    scorer,
    wait_until,
)
from parts.texts import encoded, histogram, mixed_rows

from undertone.settings import KafkaSettings, Settings
from undertone.transport import clients
from undertone_models.classifier import EncodedPair, SentimentClassifier, load_classifier

SATURATING, QUICK_SATURATING = 1_200, 400
IDLE_SHARE, IDLE_MESSAGES = 0.01, 12
HELD_SECONDS = 6.0
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
HELD_P99_MS, ALLOWED_MS = 250.0, 20.0


def send(
    kafka: KafkaSettings,
    topic: str,
    values: Sequence[bytes],
    *,
    rate: float,
    duration: float,
    seed: int,
) -> int:
    """Send a Poisson stream of so many messages a second; returns how many were sent."""
    draw = random.Random(seed)
    number, due = 0, time.monotonic()
    ends = due + duration
    with closing(clients.producer(kafka)) as producer:
        while (due := due + draw.expovariate(rate)) < ends:
            time.sleep(max(0.0, due - time.monotonic()))
            producer.send(topic, values[number % len(values)], partition=number % PARTITIONS)
            number += 1
        producer.flush(60)
    return number


class Bench:
    """One broker, one classifier, fresh topics for each load; `sending` is the other process."""

    def __init__(
        self,
        kafka: KafkaSettings,
        classifier: SentimentClassifier,
        values: list[bytes],
        sending: Executor,
    ) -> None:
        self._kafka, self._classifier, self._values = kafka, classifier, values
        self._sending = sending

    def saturated(self, count: int) -> float:
        """Mentions a second of a full topic."""
        settings = fresh_settings(self._kafka)
        run = score_all(settings, self._values[:count], self._classifier)
        return mentions_a_second(answered(settings), run.began_at)

    def latencies_ms(self, rate: float, duration: float, seed: int) -> list[int]:
        """Send at so many messages a second for so long; how long each took.

        A second before is left out: the scorer joins its group, the first fetches come in.
        """
        settings = fresh_settings(self._kafka)
        with scorer(settings, self._classifier) as registry:
            self._send(settings, rate=20.0, duration=1.0, seed=seed)
            wait_until(lambda: messages_done(registry) > 0, "the scorer at work")
            before = time.time_ns() // 1_000_000
            sent = self._send(settings, rate, duration, seed)
            wait_until(lambda: messages_done(registry) >= sent, "all messages scored")
        found: list[Answered] = answered(settings)
        return [each.at - each.raw_at for each in found if each.raw_at >= before]

    def _send(self, settings: Settings, rate: float, duration: float, seed: int) -> int:
        (topic,) = settings.effective_raw_topics
        load = {"rate": rate, "duration": duration, "seed": seed}
        sent = self._sending.submit(send, settings.kafka, topic.name, self._values, **load)
        return sent.result()


def forward_ms(classifier: SentimentClassifier, tokens: list[EncodedPair], seed: int) -> float:
    """The median of one pair's forward pass."""
    some = random.Random(seed).sample(tokens, 50)
    return 1000 * statistics.median(
        seconds(lambda one=one: classifier.forward([one])) for one in some
    )


def main() -> None:
    """Print the figures."""
    quick = is_quick(__doc__)
    values = encoded(mixed_rows(QUICK_SATURATING if quick else SATURATING))
    classifier = load_classifier("onnx", threads=THREADS, batch_a_thread=True)
    tokens = classifier.tokenise(pairs_of(values))
    classifier.forward(tokens[:1])
    p50s, passes, rates = [], [], []
    # Spawned: a fork would copy the threads' locks of the tokenizer and the model.
    with broker() as kafka, ProcessPoolExecutor(1, get_context("spawn")) as sending:
        bench = Bench(kafka, classifier, values, sending)
        held = 0.0
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            rates.append(bench.saturated(len(values)))
            rate = max(1.0, IDLE_SHARE * rates[-1])
            passes.append(forward_ms(classifier, tokens, number))
            p50s.append(statistics.median(bench.latencies_ms(rate, IDLE_MESSAGES / rate, number)))
        for share in SHARES:
            took = sorted(bench.latencies_ms(share * rates[-1], HELD_SECONDS, 100))
            if took and took[int(0.99 * len(took))] <= HELD_P99_MS:
                held = share
                break
    tell(
        {
            "p50_per_allowed": statistics.median(
                p50 / (one + ALLOWED_MS) for p50, one in zip(p50s, passes, strict=True)
            ),
            "held_per_saturated": held,
            "p50_ms": statistics.median(p50s),
            "forward_ms": statistics.median(passes),
        },
        token_lengths=histogram([len(pair.ids) for pair in tokens]),
    )


if __name__ == "__main__":
    main()
