"""Where rejects are kept, and a disk that is full."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from undertone.errors import InputFileError
from undertone.ingest.readers import Reject
from undertone.ingest.rejects import RejectLog

FULL = Path("/dev/full")
REJECT = Reject(3, "x" * 500, "is not JSON", "rows.jsonl")


def keep(rejects: int, ends_by: Exception | None = None) -> None:
    with RejectLog(FULL) as log:
        for _ in range(rejects):
            log.add(REJECT)
        if ends_by is not None:
            raise ends_by


def test_each_reject_is_a_line_and_the_first_is_known(tmp_path: Path) -> None:
    with RejectLog(tmp_path / "r.jsonl") as log:
        log.add(REJECT)
        log.add(Reject(4, "y", "is empty"))
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["line"] for line in lines] == [3, 4]
    assert (log.count, log.first) == (2, REJECT)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("rejects", [1, 1_000], ids=["at the end", "on the way"])
def test_a_full_disk_is_told_with_what_to_do(rejects: int) -> None:
    with pytest.raises(InputFileError, match=r"/dev/full: cannot be written: No space") as told:
        keep(rejects)
    assert "Make room on its disk, or name another file with --rejects." in str(told.value)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_what_ended_the_ingest_is_told_before_a_full_disk() -> None:
    with pytest.raises(ZeroDivisionError):
        keep(1, ZeroDivisionError())
