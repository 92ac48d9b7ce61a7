"""The store: scores by model, text and target; packed mention logs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from builders import START_MS, mention
from made_history import history
from undertone.errors import UndertoneError
from undertone.records import Progress
from undertone.replay.mention_log import LogWriter, StoredLog, decode_line, encode_mention
from undertone.replay.steps import Counts, Step
from undertone.replay.store import LOGS_KEPT, Store, default_store
from undertone_models.classifier import Pair


def test_scores_are_kept_by_model_text_and_target(tmp_path: Path) -> None:
    one, other = Pair("Apple beats", "Apple"), Pair("Apple beats", None)
    with Store(tmp_path / "s.sqlite") as store:
        store.put("m@1", [(one, (0.1, 0.2, 0.7))])
    with Store(tmp_path / "s.sqlite") as store:
        assert store.get("m@1", [one, other]) == {one: (0.1, 0.2, 0.7)}
        assert store.get("m@2", [one]) == {}


def test_thousands_of_pairs_are_looked_up_at_once(tmp_path: Path) -> None:
    pairs = [Pair(f"text {number}", "x") for number in range(2_345)]
    with Store(tmp_path / "s.sqlite") as store:
        store.put("m", [(pair, (1.0, 0.0, 0.0)) for pair in pairs])
        assert list(store.get("m", pairs)) and len(store.get("m", pairs)) == len(pairs)


def test_a_mention_comes_back_as_it_was() -> None:
    for number, each in enumerate(history(1)):
        step = decode_line(encode_mention(3, each))
        assert step == Step(3, each)
        assert step.record.to_json() == each.to_json(), number
    unscored = mention(START_MS, 1, None, author="a\nb", url="http://x", audience=3)
    assert decode_line(encode_mention(0, unscored)).record == unscored


def test_a_log_counts_once_it_is_finished_and_gives_its_steps_back(tmp_path: Path) -> None:
    mentions = history(3)
    counts = Counts(messages=5, begins_at_ms=START_MS, clock_ms=START_MS + 1)
    counts.models["stub@1"] = 5
    with Store(tmp_path / "s.sqlite") as store:
        writer = LogWriter(store, "identity")
        for each in mentions:
            writer.clock(0, each.ingested_at)
            writer.mention(0, each)
        writer.clock(0, 99)
        assert store.find_log("identity") is None
        writer.finish(counts)
        found = store.find_log("identity")
        assert found is not None
        read = Counts()
        steps = list(StoredLog(store, *found, name="f").steps(read))
    assert read == counts
    assert [s.record for s in steps if not isinstance(s.record, Progress)] == mentions
    assert isinstance(steps[-1].record, Progress)
    assert steps[-1].record.complete_until == {"replay": {0: 99}}


def test_the_logs_not_used_for_longest_are_dropped(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        for number in range(LOGS_KEPT + 2):
            LogWriter(store, f"log {number}").finish(Counts())
        assert store.find_log("log 0") is None
        assert store.find_log("log 2") is not None


def test_a_log_that_is_read_now_and_then_outlasts_newer_ones(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        LogWriter(store, "read daily").finish(Counts())
        for number in range(LOGS_KEPT * 2):
            LogWriter(store, f"log {number}").finish(Counts())
            assert store.find_log("read daily") is not None
        assert store.find_log("log 0") is None


def test_a_full_disk_keeps_no_log_from_being_read(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        LogWriter(store, "identity").finish(Counts())
        store._db.execute("PRAGMA query_only=1")
        assert store.find_log("identity") is not None


def test_a_file_that_is_no_store_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(UndertoneError, match=r"s\.sqlite.*cannot be used"):
        Store(path)


def test_a_store_with_damaged_pages_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    pairs = [Pair(f"text {number}", "Acme") for number in range(2_000)]
    with Store(path) as store:
        store.put("m", [(pair, (0.2, 0.3, 0.5)) for pair in pairs])
        LogWriter(store, "identity").finish(Counts())
    content = path.read_bytes()
    path.write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
    with Store(path) as store:
        for use in (
            lambda: store.get("m", pairs),
            lambda: store.put("m", [(pairs[0], (0.2, 0.3, 0.5))]),
            lambda: store.find_log("identity"),
            lambda: store.chunks(1),
            lambda: list(store.lines(1)),
        ):
            with pytest.raises(UndertoneError, match=r"s\.sqlite.*cannot be used") as told:
                use()
            assert "--store" in str(told.value)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunks SET data = x'00ff'",
        "UPDATE chunks SET number = 7",
        "UPDATE logs SET summary = x'7b'",
    ],
    ids=["packed lines", "a chunk less", "summary"],
)
def test_a_damaged_log_is_told_by_the_stores_name(tmp_path: Path, damage: str) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        writer = LogWriter(store, "identity")
        for each in history(1):
            writer.mention(0, each)
        writer.finish(Counts())
        store._db.execute(damage)
        with pytest.raises(UndertoneError, match=r"s\.sqlite.*cannot be used"):
            _ = store.find_log("identity"), list(store.lines(writer.log))


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(UndertoneError, match="version 99"):
        Store(path)


def test_the_store_stands_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_CACHE", "/somewhere")
    assert default_store() == Path("/somewhere/replay.sqlite")


def test_a_full_disk_is_told_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    def scores(first: int) -> list[tuple[Pair, tuple[float, float, float]]]:
        return [(Pair(f"text {n}", "Acme"), (0.2, 0.3, 0.5)) for n in range(first, first + 5_000)]

    with Store(tmp_path / "s.sqlite") as store:
        store.put("m", scores(0)[:10])
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(UndertoneError, match=r"s\.sqlite: cannot be written: .*full"):
            store.put("m", scores(10))
        assert len(store.get("m", [pair for pair, _ in scores(0)])) == 10
        store._db.execute("PRAGMA max_page_count=1000000")
        store.put("m", scores(10))
        assert len(store.get("m", [pair for pair, _ in scores(0)])) == 5_000
