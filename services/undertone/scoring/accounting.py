"""What became of every message, read from the metadata of the group's committed offsets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from undertone.scoring.ledger import Totals
from undertone.settings import KafkaSettings, RawTopic
from undertone.transport.reading import committed_offsets
from undertone.transport.topics import TopicNames


def accounting(
    kafka: KafkaSettings, names: TopicNames, raw_topics: Iterable[RawTopic]
) -> dict[str, Any]:
    """The totals of all raw partitions up to their committed offsets.

    Fields, all counts of messages: `messages_in` (raw records less ticks) = `scored` + `unscored`
    + `unmatched` + `dead_letters`; and `mentions`, `committed {topic: {partition: offset}}`.
    """
    wanted = {topic.name for topic in raw_topics}
    offsets = committed_offsets(kafka, names.score_group)
    result: dict[str, Any] = dict.fromkeys(
        ("messages_in", "scored", "unscored", "unmatched", "dead_letters", "mentions"), 0
    )
    committed: dict[str, dict[int, int]] = {name: {} for name in sorted(wanted)}
    for place, offset in sorted(offsets.items()):
        if place.topic not in wanted or offset.offset < 0:
            continue
        committed[place.topic][place.partition] = offset.offset
        totals = Totals.from_metadata(offset.metadata) or Totals()
        result["messages_in"] += totals.read
        for name in ("scored", "unscored", "unmatched", "dead_letters", "mentions"):
            result[name] += getattr(totals, name)
    return {**result, "committed": committed}
