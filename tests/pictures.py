"""The pictures of README.md, from a run of the demo's stream through the real services and model.

    python tests/pictures.py

Writes docs/pictures/board.png and docs/pictures/report.png. Needs the extras `dev` and `broker`,
and Chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from chromium import chromium
from undertone.demo.session import DemoSession
from undertone.demo.stream import recorded_stream
from undertone.ingest.service import in_recorded_time
from undertone.records import parse_instant
from undertone.settings import KafkaSettings, Settings
from undertone.transport.embedded_broker import EmbeddedBroker

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SHOWN_AT = "2025-03-07T16:50:00Z"  # both crises of the script are open
PLAY_SECONDS = 45.0
FINISH_SECONDS = 900.0
READY_SECONDS = 120.0
WIDTH, HEIGHT = 1200, 1000


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        undertone(
            *("simulate", "--scenario", "demo", "--out", folder / "stream.jsonl"),
            *("--truth", folder / "truth.tsv", "--watchlist-out", folder / "watchlist.yaml"),
        )
        undertone(
            *("replay", "--file", folder / "stream.jsonl", "--events", folder / "truth.tsv"),
            *("--watchlist", folder / "watchlist.yaml", "--out", folder / "replay"),
            *("--store", folder / "scores.sqlite"),
        )
        with played(folder) as board, chromium(folder / "profile") as page:
            page.show_as(WIDTH, height=HEIGHT)
            page.call("Emulation.setScrollbarsHidden", hidden=True)
            page.open(board)
            page.screenshot(PICTURES / "board.png", whole=False)
            page.open(folder / "replay" / "report.html")
            page.screenshot(PICTURES / "report.png", whole=False)


def undertone(*arguments: object) -> None:
    command = [sys.executable, "-m", "undertone", *map(str, arguments)]
    subprocess.run(command, check=True)


@contextmanager
def played(folder: Path) -> Iterator[str]:
    """The address of a board that shows the stream until SHOWN_AT."""
    watchlist = folder / "watchlist.yaml"
    until_ms = parse_instant(SHOWN_AT)
    stream = recorded_stream(folder / "stream.jsonl", watchlist, {}, until_ms)
    with EmbeddedBroker() as broker:
        kafka = KafkaSettings(bootstrap=broker.bootstrap)
        settings = in_recorded_time(Settings(prefix="pictures", kafka=kafka))
        with DemoSession(settings, stream, folder, engine="auto") as session:
            session.start(scorers=1, watchers=1)
            session.play(stream.span_ms / 1000 / PLAY_SECONDS, lambda: None)
            session.finish(FINISH_SECONDS)
            arguments = ["--watchlist", watchlist, "--port", 0, "--prefix", settings.prefix]
            command = ["board", *arguments, "--bootstrap", broker.bootstrap]
            log = folder / "board.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "undertone", *map(str, command)],
                    stderr=output,
                    stdout=output,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )
            try:
                yield ready(log)
            finally:
                process.terminate()
                process.wait(30)


def ready(log: Path) -> str:
    """The board's address, once it has read what is there."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found and httpx.get(f"{found[0]}/readyz").is_success:
            return found[0]
        time.sleep(0.2)
    raise SystemExit(f"the board is not ready: {log.read_text()}")


if __name__ == "__main__":
    main()
