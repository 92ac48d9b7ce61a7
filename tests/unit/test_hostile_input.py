"""Whatever bytes come in, they are read or refused with the error that is meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from seeds import seeds
from targets import TARGETS

SEEDS = seeds()
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=6
)


def changed(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """The input with some stretches replaced: (where, as a share; bytes taken out; put in)."""
    for share, taken, put in changes:
        place = int(share * len(data))
        data = data[:place] + put + data[place + taken :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name: str) -> None:
    for data in SEEDS[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_inputs_are_read_or_refused(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[name]))
    TARGETS[name](changed(seed, data.draw(CHANGES)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize(
    "nested", [b"[" * 100_000, b'{"a":' * 100_000, b"- " * 5_000, b"{a: " * 5_000]
)
@pytest.mark.parametrize("name", TARGETS)
def test_deep_nesting_is_refused(name: str, nested: bytes) -> None:
    TARGETS[name](nested)
