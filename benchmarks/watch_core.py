"""What the watch core costs beside the reading of its input, in one process.

Prints JSON: `apply_per_read` is the CPU time of Watch.apply a mention (with the trend points that
it makes) ÷ that of pydantic's reading of the same mention; `late_per_early` is the cost of a
mention in the last tenth of the stream ÷ in the second tenth. Medians of five rounds.
"""

from __future__ import annotations

import json
import random
import statistics
import time

from undertone.alerting.rules import load_rules
from undertone.records import Mention, MentionStatus, Progress, RawPosition
from undertone.watch.core import Watch, WatchConfig

MENTIONS = 4_000
SUBJECTS = 20
SPAN_MS = 7 * 86_400_000
START_MS = 1_767_225_600_000
ROUNDS = 5


def stream(seed: int) -> list[bytes]:
    """Mentions of twenty subjects over a week, in order of arrival."""
    draw = random.Random(seed)
    times = sorted(START_MS + draw.randrange(SPAN_MS) for _ in range(MENTIONS))
    encoded = []
    for offset, at in enumerate(times):
        negative = round(draw.random(), 3)
        encoded.append(
            Mention(
                message_id=f"m{offset}", subject=f"subject-{draw.randrange(SUBJECTS)}",
                target="It", published_at=at, ingested_at=at, source="wire", kind="news",
                excerpt="A headline of the usual length about some subject of the watchlist",
                text_hash=f"{offset:016x}", fingerprint=f"{draw.getrandbits(64):016x}",
                p_negative=negative, p_neutral=round(1 - negative, 3), p_positive=0.0,
                status=MentionStatus.SCORED, model="stub@1",
                raw=RawPosition(topic="raw", partition=0, offset=offset), scored_at=at,
            ).to_json()
        )  # fmt: skip
    return encoded


def measure(encoded: list[bytes]) -> tuple[float, float]:
    """One round: (apply ÷ read, last tenth ÷ second tenth)."""
    began = time.process_time()
    mentions = [Mention.from_json(value) for value in encoded]
    read_seconds = time.process_time() - began
    watch = Watch(WatchConfig(rules=load_rules(), subjects={}))
    costs = []
    for mention in mentions:
        began = time.process_time()
        watch.apply(mention)
        watch.apply(Progress(expected={"raw": 1}, complete_until={"raw": {0: mention.ingested_at}}))
        costs.append(time.process_time() - began)
    tenth = MENTIONS // 10
    return sum(costs) / read_seconds, sum(costs[-tenth:]) / sum(costs[tenth : 2 * tenth])


def main() -> None:
    """Print the medians."""
    rounds = [measure(stream(seed)) for seed in range(ROUNDS)]
    print(
        json.dumps(
            {
                "apply_per_read": round(statistics.median(one for one, _ in rounds), 2),
                "late_per_early": round(statistics.median(two for _, two in rounds), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
