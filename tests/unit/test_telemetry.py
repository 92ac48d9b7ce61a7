"""The metrics' server, and what it answers to a supervisor."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from undertone.errors import UndertoneError
from undertone.telemetry import SILENT_SECONDS, Readiness, serve_metrics


def served(readiness: Readiness | None = None) -> str:
    registry = CollectorRegistry()
    Counter("seen", "Things seen.", registry=registry).inc(3)
    return f"http://127.0.0.1:{serve_metrics(registry, '127.0.0.1', 0, readiness)}"


def asked(readiness: Readiness) -> tuple[int, str]:
    answer = httpx.get(f"{served(readiness)}/readyz")
    return answer.status_code, answer.text.strip()


def test_a_service_is_not_ready_before_it_says_so() -> None:
    assert asked(Readiness()) == (503, "it is starting")


def test_a_service_is_ready_once_it_says_so() -> None:
    readiness = Readiness()
    readiness.say(None)
    assert asked(readiness) == (200, "ok")


def test_a_service_that_is_not_ready_says_why() -> None:
    readiness = Readiness()
    readiness.say(None)
    readiness.say("it is stopping")
    assert asked(readiness) == (503, "it is stopping")


def test_a_service_whose_loop_stands_still_is_not_ready() -> None:
    now = [0.0]
    readiness = Readiness(clock=lambda: now[0])
    readiness.say(None)
    now[0] = SILENT_SECONDS
    assert readiness.why_not is None
    now[0] += 1
    assert asked(readiness) == (503, "its loop has stood still for 31 s")


def test_the_process_lives_whether_or_not_it_is_ready() -> None:
    assert httpx.get(f"{served(Readiness())}/livez").status_code == 200


def test_metrics_are_told_whether_or_not_it_is_ready() -> None:
    assert "seen_total 3.0" in httpx.get(f"{served(Readiness())}/metrics").text


def test_without_readiness_it_is_always_ready() -> None:
    assert httpx.get(f"{served()}/readyz").status_code == 200


def test_a_port_in_use_is_told() -> None:
    port = int(served().rpartition(":")[2])
    with pytest.raises(UndertoneError, match="cannot serve metrics"):
        serve_metrics(CollectorRegistry(), "127.0.0.1", port)
