"""A dead letter keeps what could not be read."""

from __future__ import annotations

import base64

import pytest

from undertone.transport.dead_letters import KEPT_BYTES, dead_letter


@pytest.mark.parametrize("value", [b"", b"\xff\x00bad", b"{" * 1000])
def test_the_bytes_are_kept(value: bytes) -> None:
    letter = dead_letter(value, "t", 1, 2, ValueError("no"), "decode", 3)
    assert base64.b64decode(letter.raw) == value
    assert (letter.topic, letter.partition, letter.offset, letter.at) == ("t", 1, 2, 3)
    assert (letter.error, letter.stage) == ("no", "decode")


def test_a_record_without_value_has_an_empty_one() -> None:
    assert dead_letter(None, "t", 1, 2, "empty", "decode", 3).raw == ""


def test_an_enormous_record_stays_below_the_brokers_limit() -> None:
    letter = dead_letter(b"x" * 5_000_000, "t", 1, 2, "e" * 100_000, "decode", 3)
    assert len(letter.to_json()) < 1_000_000
    assert f"only the first {KEPT_BYTES} of 5000000 bytes" in letter.error
