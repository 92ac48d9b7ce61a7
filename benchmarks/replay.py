"""What a replay costs: beside the reading of its mentions, with a sweep, and in memory.

Prints JSON. `replay_per_parse`: the CPU time of a second replay (all scored before) ÷ that of
pydantic's reading of the same mentions, in one run; `sweep_per_replay`: the time of a sweep of 50
points ÷ that of the replay, on all cores; `memory_long_per_short`: the peak memory of a replay of
ten times the history ÷ that of one. The history is that of `--file` and its settings, else one made
here: 100,000 short messages about thirty subjects in half a year.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from undertone.records import Mention
from undertone.replay.mention_log import decode_line
from undertone.replay.store import Store

MESSAGES, DAYS, SUBJECTS = 100_000, 180, 30
SWEEP = """
rules:
  negative-surge:
    surprise: [2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7]
    min_stories: [3, 4, 5, 6, 8]
"""
RULES = """
rules:
  - name: negative-surge
    when:
      - {signal: negative_volume, window: 1h, surprise: 4}
"""


def write_history(path: Path, messages: int, days: int) -> None:
    """Messages as `ingest` reads them, each with a text of its own."""
    draw, begin = random.Random(5), datetime(2025, 1, 1, tzinfo=UTC)
    words = ["plant", "deal", "fraud", "profit", "loss", "recall", "lawsuit", "growth", "strike"]
    seconds = sorted(draw.uniform(0, days * 86_400) for _ in range(messages))
    with path.open("w") as file:
        for number, second in enumerate(seconds):
            said = " ".join(draw.sample(words, 5))
            row = {
                "source": f"wire-{number % 7}",
                "published_at": (begin + timedelta(seconds=second)).isoformat(),
                "text": f"Company{draw.randrange(SUBJECTS)}x {said} {draw.getrandbits(48):x}",
            }
            file.write(json.dumps(row) + "\n")


def write_watchlist(path: Path) -> None:
    """The subjects of that history."""
    rows = [f"  - {{id: c{n}, name: Company{n}x, terms: [Company{n}x]}}\n" for n in range(SUBJECTS)]
    path.write_text("subjects:\n" + "".join(rows))


def replay(folder: Path, *options: str) -> tuple[float, float, float]:
    """Run `undertone replay` and return its CPU seconds, wall seconds and peak memory in MiB."""
    command = [str(Path(sys.executable).with_name("undertone")), "replay", "--engine", "stub"]
    command += ["--store", str(folder / "store.sqlite"), "--out", str(folder / "out"), *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    wall_seconds = time.perf_counter() - began
    return usage.ru_utime + usage.ru_stime, wall_seconds, usage.ru_maxrss / 1024


def parse_seconds(store: Path) -> tuple[float, int]:
    """The CPU time of reading the mentions of the last log as JSON, and how many they are."""
    with Store(store) as opened:
        (log,) = opened._db.execute("SELECT MAX(id) FROM logs").fetchone()
        records = (decode_line(line)[1] for _, lines in opened.lines(log) for line in lines)
        encoded = [record.to_json() for record in records if isinstance(record, Mention)]
    began = time.process_time()
    for value in encoded:
        Mention.from_json(value)
    return time.process_time() - began, len(encoded)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", help="a recorded stream instead of one made here")
    parser.add_argument("--config", help="its settings")
    parser.add_argument("--long", action="store_true", help="also ten times the made history")
    arguments = parser.parse_args()
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_watchlist(folder / "watchlist.yaml")
        (folder / "sweep.yaml").write_text(SWEEP)
        (folder / "rules.yaml").write_text(RULES)
        source = ["--watchlist", str(folder / "watchlist.yaml")]
        if arguments.file:
            source = ["--config", arguments.config] if arguments.config else source
            source += ["--file", arguments.file]
        else:
            write_history(folder / "history.jsonl", MESSAGES, DAYS)
            source += ["--file", str(folder / "history.jsonl")]
        source += ["--rules", str(folder / "rules.yaml")]
        replay(folder, *source)
        cpu_seconds, wall_seconds, peak_mib = replay(folder, *source)
        parse, mentions = parse_seconds(folder / "store.sqlite")
        _, with_sweep_seconds, _ = replay(folder, *source, "--sweep", str(folder / "sweep.yaml"))
        result |= {
            "replay_per_parse": round(cpu_seconds / parse, 2),
            "sweep_per_replay": round((with_sweep_seconds - wall_seconds) / wall_seconds, 2),
            "mentions": mentions,
            "replay_seconds": round(wall_seconds, 1),
            "peak_mib": round(peak_mib),
        }
        if arguments.long and not arguments.file:
            write_history(folder / "history.jsonl", 10 * MESSAGES, 10 * DAYS)
            _, _, long_mib = replay(folder, *source)
            result["memory_long_per_short"] = round(long_mib / peak_mib, 2)
            result["long_peak_mib"] = round(long_mib)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
