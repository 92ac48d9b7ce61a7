"""State that an earlier version stored is read, and what follows is as that version told it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_watch_state import HOURS, MINUTE_MS, RAW, START_MS, config, outputs
from undertone.watch.core import Watch

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "watch_state").glob("*.jsonl"))


def test_there_are_samples() -> None:
    assert SAMPLES


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_a_version_stored_is_gone_on_with(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (then,) = [line["then"] for line in lines if "then" in line]
    watch = Watch(config())
    parts = {line["key"]: json.dumps(line["value"]).encode() for line in lines if "key" in line}
    watch.restore(parts, {RAW: {0: START_MS + 29 * 60 * MINUTE_MS - 1}}, {RAW: 1})
    assert outputs(watch, 29, HOURS + 4) == then
