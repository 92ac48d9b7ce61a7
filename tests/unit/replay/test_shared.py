"""Several processes find what one finds, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders import DAY_MS, START_MS
from made_history import ListSource, config, history
from undertone.replay import mention_log
from undertone.replay.mention_log import LogWriter, StoredLog
from undertone.replay.run import Pass, Sinks, replay
from undertone.replay.shared import Shares, replay_shared
from undertone.replay.steps import Span
from undertone.replay.store import Store
from undertone.trends.points import Columns

SPAN = Span(START_MS + DAY_MS, None, DAY_MS)


class Points:
    """Keeps the rows of all points."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    def add(self, points: Columns) -> None:
        columns = [np.asarray(values).astype(str).tolist() for values in points.values()]
        self.rows += zip(*columns, strict=True)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredLog:
    """A log of several chunks."""
    monkeypatch.setattr(mention_log, "LINES_A_CHUNK", 60)
    store = Store(tmp_path / "s.sqlite")
    writer = LogWriter(store, "x")
    run = replay(
        ListSource(history(8, crisis_hours=(40, 90, 150)), each=31), config(), SPAN, log=writer
    )
    writer.finish(run.counts)
    found = store.find_log("x")
    assert found is not None
    return StoredLog(store, *found, name="x")


def shared(source: StoredLog, points: Points, is_stopped: Callable[[], bool]) -> Pass:
    return replay_shared(
        source, config(), SPAN, Sinks(points=[points]),
        workers=2, on_look=lambda _advance, _counts: None, is_stopped=is_stopped,
    )  # fmt: skip


def test_several_processes_find_what_one_finds(stored: StoredLog) -> None:
    mine, theirs = Points(), Points()
    alone = replay(stored, config(), SPAN, Sinks(points=[mine]))
    stored = StoredLog(stored.store, stored.log, stored.summary, name="x")
    together = shared(stored, theirs, lambda: False)
    assert [a.to_json() for a in together.alerts] == [a.to_json() for a in alone.alerts]
    assert together.alerts and not together.interrupted
    assert together.counts == alone.counts
    assert together.open_at_start == alone.open_at_start
    assert theirs.rows == mine.rows


def test_a_pass_that_is_stopped_stands_as_far_as_it_came(stored: StoredLog) -> None:
    whole, part = Points(), Points()
    run = shared(stored, part, lambda: True)
    assert run.interrupted
    replay(StoredLog(stored.store, stored.log, stored.summary, name="x"), config(), SPAN,
           Sinks(points=[whole]))  # fmt: skip
    assert part.rows == whole.rows[: len(part.rows)]


def test_every_process_knows_whose_a_subject_is() -> None:
    subjects = ["a", "a", "b", "c", "a", "d", "b", "e"]
    owners = [[shares.owner(each) for each in subjects] for shares in (Shares(2), Shares(2))]
    assert owners[0] == owners[1] == [0, 0, 1, 1, 0, 1, 1, 0]
