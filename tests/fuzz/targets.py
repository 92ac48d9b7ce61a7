"""What is read from outside, as functions of bytes: each ends well or with the error that is meant.

A target returns for every input that is read or refused as it should be. Any other exception is a
finding.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from undertone.alerting.rules import RuleSet, load_rules
from undertone.config_files import read_yaml
from undertone.errors import ConfigurationError, InputFileError, RecordError
from undertone.ingest.readers import read_rows
from undertone.records import Alert, DeadLetter, TrendPoint
from undertone.scoring.pipeline import RawRecord, Reader, Rejected
from undertone.settings import RawTopic, Settings, load_settings
from undertone.transport.codec import decode_watch_record
from undertone.truth import read_truth
from undertone.watchlist.matcher import Matcher
from undertone.watchlist.subjects import Watchlist, load_watchlist

EXAMPLES = Path(__file__).parents[2] / "examples"
STAMP_MS = 1_769_851_800_000

Target = Callable[[bytes], None]


@cache
def _reader() -> Reader:
    topics = (RawTopic(name="raw"),)
    matcher = Matcher(load_watchlist(EXAMPLES / "watchlist.yaml"))
    return Reader(matcher, topics, {}, max_tokens=128)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="undertone-fuzz-"))


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def raw_record(data: bytes) -> None:
    """A record of a raw topic becomes a reading or, in decoding, a dead letter."""
    outcome = _reader().read(RawRecord("raw", 0, 7, STAMP_MS, data))
    if isinstance(outcome, Rejected):
        assert outcome.stage == "decode", outcome.error


def watch_record(data: bytes) -> None:
    """A record of the mentions topic."""
    with suppress(RecordError):
        decode_watch_record(data)


def own_record(data: bytes) -> None:
    """A record of the alerts, trends or dead-letters topic."""
    for kind in (Alert, TrendPoint, DeadLetter):
        with suppress(RecordError):
            kind.from_json(data)


def watchlist(data: bytes) -> None:
    """A watchlist that is taken can be matched with."""
    with suppress(ConfigurationError):
        found: Watchlist = load_watchlist(_file("watchlist.yaml", data))
        Matcher(found).match("Acme and Lehman Brothers (LEH) fall; 雷曼兄弟 too", None, ())


def rules(data: bytes) -> None:
    """Rules that are taken have a version, and are the same when written and read again."""
    with suppress(ConfigurationError):
        found = load_rules(_file("rules.yaml", data))
        assert RuleSet.model_validate(found.to_document()).version == found.version


def settings(data: bytes) -> None:
    """A settings file."""
    with suppress(ConfigurationError):
        found: Settings = load_settings(_file("undertone.yaml", data))
        assert found.effective_raw_topics


def yaml_file(data: bytes) -> None:
    """Any YAML file."""
    with suppress(ConfigurationError):
        read_yaml(_file("any.yaml", data))


def csv_rows(data: bytes) -> None:
    """A CSV file of messages."""
    with suppress(InputFileError):
        for _row in read_rows(io.BytesIO(data), "rows.csv", {}):
            pass


def json_rows(data: bytes) -> None:
    """JSON lines of messages."""
    for _row in read_rows(io.BytesIO(data), "rows.jsonl", {}):
        pass


def gzip_rows(data: bytes) -> None:
    """A file that says it is gzip."""
    for _row in read_rows(io.BytesIO(data), "rows.jsonl.gz", {}):
        pass


def truth(data: bytes) -> None:
    """A file of true events."""
    for name in ("truth.tsv", "truth.jsonl", "truth.tsv.gz"):
        with suppress(InputFileError, ConfigurationError):
            read_truth(_file(name, data))


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        raw_record,
        watch_record,
        own_record,
        watchlist,
        rules,
        settings,
        yaml_file,
        csv_rows,
        json_rows,
        gzip_rows,
        truth,
    )
}
