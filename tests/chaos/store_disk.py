"""A full disk under the store of a replay: told in a message, and nothing of it left behind."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from chaos.dependencies import Disk
from undertone.simulate.scenarios import build_scenario

MESSAGES = 800


def replays_on_a_full_disk(seed: int, disk: Disk, watchlist: Path, folder: Path) -> list[str]:
    """What went wrong when a store's disk filled up and was given room again.

    The alerts are those of a replay that always had room.
    """
    rows = folder / "stream.jsonl"
    scenario = build_scenario("demo", seed=seed, messages=MESSAGES)
    rows.write_bytes(b"".join(entry.line() + b"\n" for entry in scenario.entries))

    def replay(store: Path, out: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "undertone", "replay", "--file", str(rows)),
                *("--watchlist", str(watchlist), "--engine", "stub"),
                *("--store", str(store), "--out", str(folder / out)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    wrong: list[str] = []
    store = disk.folder / "replay.sqlite"
    disk.fill(spare_kb=random.Random(f"store {seed}").randrange(0, 400, 4))
    full = replay(store, "full")
    if full.returncode != 1 or str(store) not in full.stderr or "Traceback" in full.stderr:
        wrong.append(f"a full disk: status {full.returncode}: {full.stderr[-2000:]}")
    disk.free()
    for path, out in ((store, "again"), (folder / "replay.sqlite", "well")):
        ended = replay(path, out)
        if ended.returncode:
            wrong.append(f"{out}: status {ended.returncode}: {ended.stderr[-2000:]}")
    alerts = [folder / out / "alerts.jsonl" for out in ("again", "well")]
    if not wrong and alerts[0].read_bytes() != alerts[1].read_bytes():
        wrong.append("after a full disk a replay gives other alerts")
    return wrong
