"""What matching and the cache do to a real stream, against reading every message anew.

Prints JSON: `matched_and_cached_per_neither` is messages a second of a scorer that matches titles
in their order of arrival against examples/banks.yaml and keeps answers ÷ those of one that reads
every title about one subject and keeps none (int8 CPU engine, topics filled before);
`cached_per_uncached` is the cache alone, on every title; `hit_rate` what it answered there;
`matched` the share of titles that name a subject. Medians of five interleaved rounds.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from parts.rounds import by_turns, is_quick, ratio, seconds, tell
from parts.scoring import (
    EVERYTHING,
    THREADS,
    broker,
    fill,
    fresh_settings,
    has_begun,
    messages_done,
    scorer,
    total,
    wait_until,
)
from parts.texts import encoded, real_rows

from undertone.watchlist.subjects import Watchlist, load_watchlist
from undertone_models.classifier import load_classifier

MESSAGES, QUICK_MESSAGES = 1_500, 500
BANKS = Path(__file__).parents[1] / "examples" / "banks.yaml"


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    values = encoded(real_rows(QUICK_MESSAGES if quick else MESSAGES))
    classifier = load_classifier("onnx", threads=THREADS, batch_a_thread=True)
    banks, hits, matched = load_watchlist(BANKS), [], []
    with broker() as kafka:

        def rate(watchlist: Watchlist, entries: int, copies: int = 1) -> float:
            settings = fresh_settings(kafka, cache_entries=entries)
            fill(settings, values * copies)
            wanted = len(values) * copies
            with scorer(settings, classifier, watchlist) as registry:
                wait_until(lambda: has_begun(registry), "at work", look_seconds=0.002)
                took = seconds(
                    lambda: wait_until(lambda: messages_done(registry) >= wanted, "done")
                )
            requests = "undertone_score_cache_requests_total"
            if watchlist is EVERYTHING and entries:
                hits.append(total(registry, requests, outcome="hit") / total(registry, requests))
            if watchlist is banks:
                unmatched = total(registry, "undertone_score_messages_total", outcome="unmatched")
                matched.append(1 - unmatched / wanted)
            return wanted / took

        found = by_turns(
            {
                "both": lambda: rate(banks, 100_000, copies=8),
                "cached": lambda: rate(EVERYTHING, 100_000),
                "neither": lambda: rate(EVERYTHING, 0),
            },
            quick=quick,
        )
    tell(
        {
            "matched_and_cached_per_neither": ratio(found["both"], found["neither"]),
            "cached_per_uncached": ratio(found["cached"], found["neither"]),
            "hit_rate": statistics.median(hits),
            "matched": statistics.median(matched),
        }
    )


if __name__ == "__main__":
    main()
