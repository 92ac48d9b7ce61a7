"""Raw records become mentions by the scoring core, with the store before the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
import yaml

from builders import MINUTE_MS, START_MS
from made_history import WATCHLIST
from undertone.errors import InputFileError
from undertone.records import Mention, Progress, RawMessage
from undertone.replay.reading import PAIRS_A_BATCH, Model, RawSteps, StoredScores
from undertone.replay.sources import FileSource
from undertone.replay.steps import Counts, Span, Step
from undertone.replay.store import Store
from undertone.scoring.pipeline import RawRecord, Reader
from undertone.settings import RawTopic
from undertone.transport.codec import tick_headers
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist
from undertone_models.classifier import FloatArray, Pair, StubClassifier

TOPIC = "raw.news"


class Counting(StubClassifier):
    """Counts what it reads, and dies after some batches."""

    def __init__(self, batches: int = 10**9) -> None:
        super().__init__()
        self.read: list[str] = []
        self._batches = batches

    def classify(self, pairs: Sequence[Pair]) -> FloatArray:
        if self._batches == 0:
            raise MemoryError
        self._batches -= 1
        self.read += [pair.text for pair in pairs]
        return super().classify(pairs)


def record(offset: int, text: str | None = None, *, at_ms: int | None = None) -> RawRecord:
    at_ms = START_MS + offset * MINUTE_MS if at_ms is None else at_ms
    message = RawMessage(source="wire", published_at=at_ms, text=text or f"Acme fails {offset}")
    return RawRecord(TOPIC, 0, offset, at_ms, message.to_json())


def reading(
    store: Store,
    classifier: StubClassifier,
    span: Span | None = None,
    loads: list[int] | None = None,
) -> RawSteps:
    def load() -> StubClassifier:
        if loads is not None:
            loads.append(1)
        return classifier

    reader = Reader(
        Matcher(Watchlist.model_validate(yaml.safe_load(WATCHLIST))),
        [RawTopic(name=TOPIC)],
        {},
        128,
    )
    models = {"default": Model("stub@1", "stub@1 stub", load)}
    return RawSteps(reader, StoredScores(models, store), span or Span())


def mentions(steps: Sequence[Step]) -> list[Mention]:
    return [step.record for step in steps if isinstance(step.record, Mention)]


def clocks(steps: Sequence[Step]) -> list[int]:
    return [
        step.record.complete_until["replay"][0]
        for step in steps
        if isinstance(step.record, Progress)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s.sqlite")


def test_every_record_is_accounted_for(store: Store) -> None:
    records = [
        record(0),
        record(1, "nobody is named"),
        RawRecord(TOPIC, 0, 2, START_MS + 2 * MINUTE_MS, b"not json"),
        record(3, "Acme and Globex"),
        RawRecord(TOPIC, 0, 4, START_MS + 9 * MINUTE_MS, None, tick_headers(START_MS)),
    ]
    counts = Counts()
    steps = list(reading(store, StubClassifier()).steps(records, counts))
    assert (counts.messages, counts.mentions) == (4, 3)
    assert (counts.unmatched, counts.dead_letters) == (1, 1)
    assert [m.subject for m in mentions(steps)] == ["acme", "acme", "globex"]
    assert all(m.scored_at == m.ingested_at for m in mentions(steps))
    assert clocks(steps) == [START_MS + 9 * MINUTE_MS]


def test_the_clock_stands_behind_the_last_record_or_at_the_ranges_end(store: Store) -> None:
    open_end = list(reading(store, StubClassifier()).steps([record(0)], Counts()))
    assert clocks(open_end) == [START_MS + 1]
    span = Span(None, START_MS + 99)
    closed = list(reading(store, StubClassifier(), span).steps([record(0)], Counts()))
    assert clocks(closed) == [START_MS + 99]


def test_the_warm_up_is_read_and_not_counted(store: Store) -> None:
    span = Span(START_MS + 2 * MINUTE_MS, None, 60 * MINUTE_MS)
    counts = Counts()
    steps = list(reading(store, StubClassifier(), span).steps(map(record, range(5)), counts))
    assert len(mentions(steps)) == 5
    assert (counts.messages, counts.mentions, counts.read) == (3, 3, 5)


def test_what_was_scored_is_not_scored_again_and_the_model_is_not_loaded(store: Store) -> None:
    first = Counting()
    list(reading(store, first).steps([record(0), record(1), record(0)], Counts()))
    assert len(first.read) == 2
    loads: list[int] = []
    again = list(reading(store, Counting(0), loads=loads).steps([record(1)], Counts()))
    assert mentions(again)[0].p_negative is not None
    assert loads == []


def test_a_killed_replay_resumes_from_what_it_had_scored(store: Store) -> None:
    records = [record(number) for number in range(3 * PAIRS_A_BATCH)]
    dying = Counting(batches=2)
    with pytest.raises(MemoryError):
        list(reading(store, dying).steps(records, Counts()))
    resumed = Counting()
    steps = list(reading(store, resumed).steps(records, Counts()))
    assert len(mentions(steps)) == len(records)
    assert len(resumed.read) == PAIRS_A_BATCH
    assert not set(resumed.read) & set(dying.read)


def test_texts_that_the_model_fails_on_are_unscored_and_asked_again(store: Store) -> None:
    class Failing(StubClassifier):
        def classify(self, pairs: Sequence[Pair]) -> FloatArray:
            raise ValueError("no")

    counts = Counts()
    list(reading(store, Failing()).steps([record(0)], counts))
    assert counts.unscored == 1
    counts = Counts()
    list(reading(store, StubClassifier()).steps([record(0)], counts))
    assert counts.unscored == 0


def test_a_message_without_an_id_is_known_by_its_place(store: Store) -> None:
    steps = list(reading(store, StubClassifier()).steps([record(7)], Counts()))
    assert mentions(steps)[0].message_id == f"{TOPIC}-0-7"
    assert orjson.loads(mentions(steps)[0].to_json())["raw"]["offset"] == 7


def test_a_file_that_cannot_be_read_is_told(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("")
    source = FileSource(
        [path], reading(store, StubClassifier()), {}, Span(), reading_identity="the stub's"
    )
    path.unlink()
    path.mkdir()
    with pytest.raises(InputFileError, match=r"rows\.jsonl: cannot be read: Is a directory"):
        _ = source.identity
