"""What the watch core costs beside the reading of its input, and what it remembers.

Prints JSON. `apply_per_read`: the CPU time of Watch.apply a mention (with the trend points that it
makes) ÷ that of pydantic's reading of the same mention, in a week of 4,000 mentions of twenty
subjects; `busy_apply_per_read`: the same where as many come within an hour; `late_per_early`: the
cost of a mention in the last tenth of the week ÷ in the second tenth. Medians of five rounds.

`state_*_bytes`: what a subject remembers, as stored and in memory, from two states of a subject,
with 200 and with 1,000 stories in a day: a story's own, and the subject's without them.

With --long, `long_per_short`: the cost of the last 4,000 of 10⁶ mentions ÷ that of those after the
first 10³, at the density of that week.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
import tracemalloc
from collections.abc import Iterator, Sequence

from undertone.alerting.rules import load_rules
from undertone.records import Mention, MentionStatus, Progress, RawPosition
from undertone.watch.core import Watch, WatchConfig

MENTIONS = 4_000
SUBJECTS = 20
HOUR_MS = 3_600_000
SPAN_MS = 7 * 24 * HOUR_MS
START_MS = 1_767_225_600_000
ROUNDS = 5
LONG, SHORT = 1_000_000, 1_000
STATES = (200, 1_000)


def mentions(seed: int, number: int, span_ms: int, subjects: int = SUBJECTS) -> Iterator[Mention]:
    """Mentions of twenty subjects over a span, in order of arrival."""
    draw = random.Random(seed)
    at = float(START_MS)
    for offset in range(number):
        at += draw.expovariate(number / span_ms)
        negative = round(draw.random(), 3)
        yield Mention(
            message_id=f"m{offset}", subject=f"subject-{draw.randrange(subjects)}",
            target="It", published_at=int(at), ingested_at=int(at), source="wire", kind="news",
            excerpt="A headline of the usual length about some subject of the watchlist",
            text_hash=f"{offset:016x}", fingerprint=f"{draw.getrandbits(64):016x}",
            p_negative=negative, p_neutral=round(1 - negative, 3), p_positive=0.0,
            status=MentionStatus.SCORED, model="stub@1",
            raw=RawPosition(topic="raw", partition=0, offset=offset), scored_at=int(at),
        )  # fmt: skip


def apply(watch: Watch, mention: Mention) -> None:
    """One mention, and the clock that has come to it."""
    watch.apply(mention)
    watch.apply(Progress(expected={"raw": 1}, complete_until={"raw": {0: mention.ingested_at}}))


def seconds(watch: Watch, some: Sequence[Mention]) -> float:
    """The CPU time of applying them."""
    began = time.process_time()
    for mention in some:
        apply(watch, mention)
    spent = time.process_time() - began
    watch.take_changes()
    return spent


def measure(seed: int, span_ms: int) -> tuple[float, float]:
    """One round: (apply ÷ read, last tenth ÷ second tenth)."""
    encoded = [mention.to_json() for mention in mentions(seed, MENTIONS, span_ms)]
    began = time.process_time()
    read = [Mention.from_json(value) for value in encoded]
    read_seconds = time.process_time() - began
    watch = Watch(WatchConfig(rules=load_rules(), subjects={}))
    tenth = MENTIONS // 10
    costs = [seconds(watch, read[start : start + tenth]) for start in range(0, MENTIONS, tenth)]
    return sum(costs) / read_seconds, costs[-1] / costs[1]


def long_per_short() -> float:
    """The cost of a mention after 10⁶ ÷ that of one after 10³."""
    watch = Watch(WatchConfig(rules=load_rules(), subjects={}))
    costs: list[float] = []
    some: list[Mention] = []
    for number, mention in enumerate(mentions(0, LONG, SPAN_MS * LONG // MENTIONS)):
        some.append(mention)
        if number + 1 == SHORT or len(some) == MENTIONS:
            costs.append(seconds(watch, some))
            some.clear()
    # The first holds the 10³ mentions, and the last what is left of a block.
    return statistics.median(costs[-6:-1]) / costs[1]


def state_bytes() -> dict[str, float]:
    """The bytes of one subject and of one story, as stored and in memory."""
    stored, held = [], []
    for stories in STATES:
        watch = Watch(WatchConfig(rules=load_rules(), subjects={}))
        for mention in mentions(7, stories, 24 * HOUR_MS, subjects=1):
            apply(watch, mention)
        parts = {key: value for key, value in watch.take_changes().items() if value is not None}
        stored.append(sum(map(len, parts.values())))
        gc.collect()
        tracemalloc.start()
        restored = Watch(WatchConfig(rules=load_rules(), subjects={}))
        before = tracemalloc.get_traced_memory()[0]
        restored.restore(parts, watch.complete_until, watch.expected)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0] - before)
        tracemalloc.stop()
    result = {}
    few, many = STATES
    for name, (low, high) in (("stored", stored), ("memory", held)):
        a_story = (high - low) / (many - few)
        result[f"state_{name}_bytes_a_story"] = round(a_story)
        result[f"state_{name}_bytes_a_subject"] = round(low - few * a_story)
    return result


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="also 10⁶ mentions: some minutes")
    arguments = parser.parse_args()
    rounds = [measure(seed, SPAN_MS) for seed in range(ROUNDS)]
    busy = [measure(seed, HOUR_MS) for seed in range(ROUNDS)]
    result = {
        "apply_per_read": round(statistics.median(one for one, _ in rounds), 2),
        "busy_apply_per_read": round(statistics.median(one for one, _ in busy), 2),
        "late_per_early": round(statistics.median(two for _, two in rounds), 2),
        **state_bytes(),
    }
    if arguments.long:
        result["long_per_short"] = round(long_per_short(), 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
