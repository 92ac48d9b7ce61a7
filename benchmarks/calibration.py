"""Is surprise calibrated on real quiet streams? Prints JSON.

    python benchmarks/calibration.py [reuters-mentions.jsonl.gz] [stocknet-mentions.jsonl.gz]

For each stream, window and signal: how many closed, non-overlapping windows of one subject were
evaluated, and the share of them with surprise ≥ k over the 10^−k that is due, for k = 2, 3 and,
from 100,000 evaluations on, 4. Streams are those of ../shared/data/streams, their subjects the
tags and their tone the stub classifier's word list (whose score takes few values, so that its mean
has no smooth tail), or the scored mentions that are named. Quiet is what lies more than seven days
from every known event of a subject, after 28 days.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from undertone.records import Mention
from undertone.scoring.fingerprint import fingerprint
from undertone.settings import PANE_MS
from undertone.trends.calibration import Evaluations, evaluate, excess
from undertone.trends.panes import Counts
from undertone.trends.rhythm import DAY_MS, HOUR_MS
from undertone.trends.stories import StoryIndex
from undertone.watchlist.subjects import Prior
from undertone_models.pairs import Pair
from undertone_models.stub_classifier import StubClassifier

STREAMS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "streams"
# A story is known for a day and a little, as in the watcher.
STORY_HOURS = 26
MANY = 100_000
SEED = 7

Panes = dict[str, list[tuple[int, Counts]]]


class Stream(NamedTuple):
    """A recorded stream, its known events (columns of subject and day), and its prior."""

    file: str
    events: str
    subject: int
    day: int
    prior: Prior


KNOWN = {
    "reuters": Stream(
        "reuters_entities_2007_2010.jsonl.gz", "reuters_events_2007_2010.tsv", 0, 1,
        Prior(stories_per_day=3, negative_share=0.25),
    ),
    "stocknet": Stream(
        "stocknet_2014.jsonl.gz", "stocknet_price_events_2014.tsv", 1, 0,
        Prior(stories_per_day=5, negative_share=0.2),
    ),
}  # fmt: skip


class Heard(NamedTuple):
    """One message about one subject."""

    subject: str
    at_ms: int
    fingerprint: int
    probabilities: tuple[float, float, float]


def tagged(path: Path) -> Iterator[Heard]:
    """The messages of a stream by their tags, toned by the stub classifier."""
    stub = StubClassifier()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        # Copies follow each other: a text is read once while it is told.
        for text, rows in groupby(map(json.loads, lines), key=lambda row: str(row["text"])):
            sketch = int(fingerprint(text), 16)
            negative, neutral, positive = stub.classify([Pair(text)])[0].tolist()
            for row in rows:
                at_ms = round(datetime.fromisoformat(row["published_at"]).timestamp() * 1000)
                for name in row.get("entities") or ():
                    yield Heard(subject_id(name), at_ms, sketch, (negative, neutral, positive))


def scored(path: Path) -> Iterator[Heard]:
    """The messages of a file of mentions."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            mention = Mention.from_json(line)
            yield Heard(
                mention.subject,
                mention.published_at,
                int(mention.fingerprint, 16),
                (mention.p_negative or 0.0, mention.p_neutral or 0.0, mention.p_positive or 0.0),
            )


def subject_id(name: str) -> str:
    """A tag as the watchlists write it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def panes_of(messages: Iterable[Heard]) -> Panes:
    """Counts by subject and pane, near-copies taken for one story."""
    known: dict[str, StoryIndex] = {}
    hours: dict[str, int] = {}
    panes: dict[str, dict[int, Counts]] = {}
    for message in messages:
        stories = known.setdefault(message.subject, StoryIndex())
        hour = message.at_ms // HOUR_MS
        if hours.get(message.subject) != hour:
            hours[message.subject] = hour
            stories.drop_before(hour - STORY_HOURS)
        end_ms = message.at_ms // PANE_MS * PANE_MS + PANE_MS
        counts = panes.setdefault(message.subject, {}).setdefault(end_ms, Counts())
        counts.mentions += 1
        if not stories.is_copy(message.fingerprint):
            stories.add(hour, message.fingerprint)
            count_story(counts, *message.probabilities)
    return {subject: sorted(each.items()) for subject, each in sorted(panes.items())}


def count_story(counts: Counts, negative: float, neutral: float, positive: float) -> None:
    """Count a story under its likeliest class, as the watcher does."""
    counts.stories += 1
    top = max(negative, neutral, positive)
    if neutral == top:
        counts.neutral += 1
    elif negative == top:
        counts.negative += 1
    else:
        counts.positive += 1
    millis = round(1000 * (positive - negative))
    counts.score_millis += millis
    counts.score_square_millis += millis * millis // 1000


def event_days(stream: Stream) -> dict[str, list[int]]:
    """The days, in ms, of the known events of each subject."""
    days: dict[str, list[int]] = {}
    for line in (STREAMS / stream.events).read_text("utf-8").splitlines()[1:]:
        columns = line.split("\t")
        day = datetime.fromisoformat(columns[stream.day]).replace(tzinfo=UTC)
        days.setdefault(subject_id(columns[stream.subject]), []).append(
            round(day.timestamp() * 1000)
        )
    return days


def tails_of(stream: Stream, panes: Panes, window_ms: int, every: int = 1) -> Evaluations:
    """The evaluations of the quiet times of every n-th subject."""
    ends = [end_ms for each in panes.values() for end_ms, _counts in (each[0], each[-1])]
    days = event_days(stream)
    result = Evaluations()
    for subject in list(panes)[::every]:
        events = days.get(subject, [])

        def is_quiet(at_ms: int, events: list[int] = events) -> bool:
            return not any(-7 * DAY_MS <= at_ms - day < 8 * DAY_MS for day in events)

        span = (min(ends), max(ends))
        result.rows += evaluate(panes[subject], stream.prior, window_ms, span, is_quiet).rows
    return result


def main() -> None:
    """Print what is measured of each stream that is there."""
    report: dict[str, object] = {}
    for name, stream in KNOWN.items():
        named = [path for path in map(Path, sys.argv[1:]) if path.name.startswith(name)]
        if not named and not (STREAMS / stream.file).exists():
            report[name] = "skipped: ../shared/data/streams is not there"
            continue
        panes = panes_of(scored(named[0]) if named else tagged(STREAMS / stream.file))
        report[name] = {
            window: {
                signal: {
                    "evaluations": len(tails),
                    **{
                        f"surprise_{power}": round(excess(tails, power), 2)
                        for power in (2, 3, 4)
                        if power < 4 or len(tails) >= MANY
                    },
                }
                for signal, tails in tails_of(stream, panes, window_ms).tails(SEED).items()
            }
            for window, window_ms in (("1h", HOUR_MS), ("24h", DAY_MS))
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
