"""Truth files: ours, and other people's as they are."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from undertone.errors import ConfigurationError, InputFileError
from undertone.records import parse_instant
from undertone.truth import TruthEvent, read_truth, write_truth

STREAMS = Path(__file__).parents[2] / ".." / "shared" / "data" / "streams"
EVENTS = [
    TruthEvent.model_validate(
        {
            "subject": "lehman",
            "start": "2008-09-15T00:31:00Z",
            "end": "2008-09-16T00:00:00Z",
            "polarity": "negative",
            "description": 'files for "Chapter 11"',
        }
    ),
    TruthEvent.model_validate({"subject": "aig", "start": "2008-09-16T01:18:00Z"}),
]


@pytest.mark.parametrize("name", ["truth.tsv", "truth.jsonl"])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    write_truth(tmp_path / name, EVENTS)
    assert read_truth(tmp_path / name) == EVENTS


def test_an_entity_becomes_an_id_and_its_first_headline_the_start(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    path.write_text(
        "entity\tevent_date_utc\tpolarity\tdescription\tfirst_matching_headline_utc\n"
        "Goldman Sachs\t2010-04-16\tneg\tfraud suit\t2010-04-16T15:03Z\n"
    )
    (event,) = read_truth(path)
    assert event.subject == "goldman-sachs"
    assert event.start == parse_instant("2010-04-16T15:03:00Z")
    assert event.polarity == "negative"


def test_a_day_is_its_midnight_and_a_fall_in_price_is_negative(tmp_path: Path) -> None:
    path = tmp_path / "prices.tsv"
    path.write_text("date\tticker\treturn_pct\n2014-01-28\tAAPL\t-8.0\n2014-01-30\tFB\t14.1\n")
    fall, rise = read_truth(path)
    assert (fall.subject, fall.polarity) == ("aapl", "negative")
    assert fall.start == parse_instant("2014-01-28T00:00:00Z")
    assert (rise.subject, rise.polarity) == ("fb", "positive")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("when\tdescription\n2008\tx\n", r"line 1: subject: expected a column"),
        ("subject\tstart\nlehman\tsoon\n", r"line 2: start: "),
        ("subject\tstart\n\t2008-09-15\n", r"line 2: subject: "),
        ("subject\tstart\tpolarity\nlehman\t2008-09-15\tbad\n", r"line 2: polarity: "),
        ('{"subject": "lehman"}\n', r"line 1: start: "),
        ('{"subject": \n', r"line 1: not JSON"),
        (f"subject\tstart\nlehman\t2008-09-15\nlehman\t{'x' * 200_000}\n", r"line 3: field larger"),
    ],
)
def test_a_wrong_file_names_the_line_and_the_field(text: str, error: str, tmp_path: Path) -> None:
    path = tmp_path / "truth"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=error):
        read_truth(path)


def test_lines_may_end_as_on_an_old_macintosh(tmp_path: Path) -> None:
    path = tmp_path / "truth.tsv"
    path.write_bytes(b"subject\tstart\rlehman\t2008-09-15\r")
    assert [event.subject for event in read_truth(path)] == ["lehman"]


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.tsv.gz"
    path.write_bytes(gzip.compress(b"subject\tstart\n")[:10] + b"\xff" * 20)
    with pytest.raises(InputFileError, match=r"truth\.tsv\.gz: cannot be read"):
        read_truth(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"nowhere\.tsv: cannot be read"):
        read_truth(tmp_path / "nowhere.tsv")


def test_the_files_beside_the_streams_are_read_as_they_are() -> None:
    if not STREAMS.exists():
        pytest.skip("../shared/data/streams is not there")
    events = {
        event.subject: event for event in read_truth(STREAMS / "reuters_events_2007_2010.tsv")
    }
    assert events["lehman"].start == parse_instant("2008-09-15T00:31:00Z")
    assert read_truth(STREAMS / "stocknet_price_events_2014.tsv")
