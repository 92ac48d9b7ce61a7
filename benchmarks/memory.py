"""The greatest memory of `undertone score` with the bundled model, as a process of its own.

Prints JSON: `peak_megabytes` is its greatest resident memory (10^6 bytes) over a run of distinct
texts, cache on, on the int8 CPU engine, as the operating system counted it at the process's end.
"""

from __future__ import annotations

import os
import subprocess

from parts.rounds import is_quick, tell
from parts.scoring import (
    THREADS,
    broker,
    fill,
    fresh_settings,
    score_command,
    wait_for_mentions,
    watchlist_file,
)
from parts.texts import encoded, mixed_rows

MESSAGES, QUICK_MESSAGES = 3_000, 500


def main() -> None:
    """Print the figure."""
    values = encoded(mixed_rows(QUICK_MESSAGES if is_quick(__doc__) else MESSAGES))
    with broker() as kafka, watchlist_file() as watchlist:
        settings = fresh_settings(kafka)
        fill(settings, values)
        command, variables = score_command(
            settings, watchlist, "onnx", threads=THREADS, cache_entries=100_000
        )
        process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
        wait_for_mentions(settings, len(values), "all messages scored")
        process.terminate()
        _pid, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"undertone score ended with {os.waitstatus_to_exitcode(status)}")
    tell({"peak_megabytes": usage.ru_maxrss * 1024 / 1e6})


if __name__ == "__main__":
    main()
