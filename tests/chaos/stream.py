"""The stream of one seed: a scripted crisis with poison among it, and stamps that jump."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from undertone.demo.stream import DemoStream, scripted_stream
from undertone.ingest.planning import MINUTE_MS, Arrival, TimedRecord

POISON_SHARE = 0.005
SKEWED_SHARE = 0.01
LEAPS = 3
LONGEST_BACK_MS = 60 * MINUTE_MS
LONGEST_LEAP_MS = 20 * MINUTE_MS

RAW_POISON = (
    b'{"text": "Acme',
    b"\x00\xff\xfe",
    b"[1, 2]",
    b"null",
    b'{"published_at": "2025-03-04T09:30:00Z"}',
    b'{"published_at": "2025-03-04T09:30:00", "text": "no zone"}',
    b'{"published_at": "2025-03-04T09:30:00Z", "text": "' + b"x" * 70_000 + b'"}',
    b'{"published_at": "2025-03-04T09:30:00Z", "text": 7, "audience": -1}',
    b'{"text": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
)


def chaos_stream(seed: int, messages: int, folder: Path) -> tuple[DemoStream, int]:
    """The scenario `demo` with poison put in, and how many poisonous records that makes."""
    stream = scripted_stream("demo", seed, folder, messages=messages)
    chance = random.Random(f"poison {seed}")
    arrivals: list[Arrival] = []
    poisoned = 0
    for arrival in stream.arrivals:
        arrivals.append(arrival)
        if chance.random() < POISON_SHARE:
            arrivals.append(Arrival(arrival.at_ms, chance.choice(RAW_POISON), arrival.kind))
            poisoned += 1
    return replace(stream, arrivals=arrivals), poisoned


class SkewedStamps:
    """Producers whose clocks are wrong: some stamps lie in the past, a few leap ahead.

    Which messages it hits depends on their number alone, whatever ticks stand between them.
    """

    def __init__(self, seed: int, messages: int) -> None:
        chance = random.Random(f"skew {seed}")
        backward = chance.sample(range(messages), int(messages * SKEWED_SHARE))
        forward = chance.sample(range(messages), LEAPS)
        self._skew_ms = {number: -chance.randrange(1, LONGEST_BACK_MS) for number in backward}
        self._skew_ms |= {number: chance.randrange(1, LONGEST_LEAP_MS) for number in forward}

    @property
    def count(self) -> int:
        """How many stamps it changes."""
        return len(self._skew_ms)

    def apply(self, records: Iterable[TimedRecord]) -> Iterator[TimedRecord]:
        """The records, some with other stamps."""
        number = 0
        for record in records:
            if record.is_tick or record.timestamp_ms is None:
                yield record
                continue
            skew_ms = self._skew_ms.get(number, 0)
            number += 1
            stamp_ms = record.timestamp_ms + skew_ms
            yield replace(record, timestamp_ms=stamp_ms) if skew_ms else record
