"""How many scorers saturate one CPU: threads in one process against processes.

Prints JSON, from mentions a second of a group of `undertone score` processes on one topic filled
before (int8 CPU engine, cache off): `two_processes_per_one` is two processes with model.threads 1 ÷
one with model.threads 2; `two_threads_per_one` is one process with 2 ÷ one with 1. Medians of five
interleaved rounds.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from parts.rounds import by_turns, is_quick, ratio, tell
from parts.scoring import (
    answered,
    broker,
    fill,
    fresh_settings,
    mentions_a_second,
    score_command,
    wait_for_mentions,
    watchlist_file,
)
from parts.texts import encoded, mixed_rows

from undertone.settings import KafkaSettings

MESSAGES, QUICK_MESSAGES = 800, 300
START_SECONDS = 2.0


def rate(
    kafka: KafkaSettings, watchlist: Path, values: list[bytes], processes: int, threads: int
) -> float:
    """Mentions a second of so many scorers, once all hold their partitions.

    They read a first message of each partition, idle until all have started, and then get the rest.
    """
    settings = fresh_settings(kafka)
    command, variables = score_command(settings, watchlist, "onnx", threads=threads)
    started = [
        subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
        for _ in range(processes)
    ]
    try:
        fill(settings, values[:2])
        wait_for_mentions(settings, 2, "the scorers at work")
        time.sleep(START_SECONDS * processes)  # a second one joins, and takes its partition
        began_at = time.time() * 1000
        fill(settings, values)
        wait_for_mentions(settings, len(values) + 2, "all messages scored")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)
    return mentions_a_second([each for each in answered(settings) if each.at >= began_at], began_at)


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    values = encoded(mixed_rows(QUICK_MESSAGES if quick else MESSAGES))
    with broker() as kafka, watchlist_file() as watchlist:
        found = by_turns(
            {
                "one": lambda: rate(kafka, watchlist, values, processes=1, threads=1),
                "threads": lambda: rate(kafka, watchlist, values, processes=1, threads=2),
                "processes": lambda: rate(kafka, watchlist, values, processes=2, threads=1),
            },
            quick=quick,
        )
    tell(
        {
            "two_processes_per_one": ratio(found["processes"], found["threads"]),
            "two_threads_per_one": ratio(found["threads"], found["one"]),
        }
    )


if __name__ == "__main__":
    main()
