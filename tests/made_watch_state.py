"""Writes a sample of the watcher's state, as this version stores it.

    python tests/made_watch_state.py > tests/data/watch_state/VERSION.jsonl

Run it once for a version that changes how state is stored, before the change; the samples stay,
and tests/unit/watch/test_stored_state.py reads them all. One JSON object a line: the part's key and
its value, or under `then` what the same version wrote for the records that follow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from undertone.alerting.rules import load_rules
from undertone.records import Kind, Mention, MentionStatus, Progress, RawPosition
from undertone.watch.core import Watch, WatchConfig

RULES = Path(__file__).parent / "data" / "watch_state" / "rules.yaml"
RAW = "sample.raw.news"
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
MINUTE_MS = 60_000
HOURS = 30
WORDS = [
    *("recall", "plant", "water", "price", "route", "engine"),
    *("strike", "merger", "dividend", "outage", "harvest", "vaccine"),
]


def mention_of(number: int, at_ms: int, *, negative: bool) -> Mention:
    """One mention of `acme`, with a story of its own."""
    fields: dict[str, Any] = {
        "message_id": f"m{number}",
        "subject": "acme",
        "target": "Acme",
        "published_at": at_ms,
        "ingested_at": at_ms,
        "source": f"wire-{number % 7}",
        "kind": Kind.NEWS,
        "excerpt": f"Acme {WORDS[number % 12]} {WORDS[number // 12 % 12]} {number}",
        "text_hash": f"{number:016x}",
        "fingerprint": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
        "p_negative": 0.9 if negative else 0.05,
        "p_neutral": 0.08 if negative else 0.9,
        "p_positive": 0.02 if negative else 0.05,
        "status": MentionStatus.SCORED,
        "model": "stub@1",
        "raw": RawPosition(topic=RAW, partition=0, offset=number),
        "scored_at": at_ms,
    }
    return Mention(**fields)


def records(first_hour: int, last_hour: int) -> list[Mention | Progress]:
    """Three mentions an hour, and in hours 28 and 29 a crisis of two a minute."""
    made: list[Mention | Progress] = []
    for minute in range(first_hour * 60, last_hour * 60):
        at_ms = START_MS + minute * MINUTE_MS
        crisis = 28 * 60 <= minute < 30 * 60
        if crisis or minute % 20 == 0:
            made += [
                mention_of(minute * 2 + each, at_ms, negative=crisis) for each in range(1 + crisis)
            ]
        made.append(Progress(expected={RAW: 1}, complete_until={RAW: {0: at_ms + MINUTE_MS - 1}}))
    return made


def config() -> WatchConfig:
    """The sample's own rules (those that come with undertone change), no subjects."""
    return WatchConfig(rules=load_rules(RULES), subjects={})


def outputs(watch: Watch, first_hour: int, last_hour: int) -> list[str]:
    """What the watcher writes for these hours."""
    found: list[str] = []
    for record in records(first_hour, last_hour):
        for output in watch.apply(record):
            made: Any = output.record() if hasattr(output, "record") else output
            found.append(made.to_json().decode())
    return found


def main() -> None:
    watch = Watch(config())
    outputs(watch, 0, 29)
    parts = {key: value for key, value in watch.take_changes().items() if value is not None}
    for key, value in sorted(parts.items()):
        print(json.dumps({"key": key, "value": json.loads(value)}, separators=(",", ":")))
    print(json.dumps({"then": outputs(watch, 29, HOURS + 4)}, separators=(",", ":")))


if __name__ == "__main__":
    sys.exit(main())
