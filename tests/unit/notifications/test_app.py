"""The webhook, asked in this process: who may post, what is refused, and what is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from undertone.notifications import app
from undertone.notifications.app import Receiver
from undertone.notifications.robots import WECOM, Robot

BODY = {"version": "4", "status": "firing", "alerts": []}


class Service:
    """A receiver with a WeCom robot that gives one answer."""

    def __init__(self, answer: dict[str, Any], token: str | None = None) -> None:
        self.answer = answer
        self.registry = CollectorRegistry()
        http = httpx.AsyncClient(
            transport=httpx.MockTransport(lambda _: httpx.Response(200, json=self.answer))
        )
        robot = Robot(WECOM, "https://robot.example", secret=None, http=http, clock_ms=lambda: 1)
        self._app = Receiver({"wecom": robot}, token, self.registry).app()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
                return await client.request(method, path, **options)

        return asyncio.run(asked())

    def counted(self, outcome: str) -> float | None:
        labels = {"robot": "wecom", "outcome": outcome}
        return self.registry.get_sample_value("undertone_notify_messages_total", labels)


OK = {"errcode": 0, "errmsg": "ok"}


def test_a_message_that_is_taken_is_answered_with_200() -> None:
    service = Service(OK)
    assert service.ask("POST", "/v1/wecom", json=BODY).status_code == 200
    assert [service.counted(outcome) for outcome in ("sent", "limited", "failed")] == [1, 0, 0]


def test_a_refusal_inside_a_200_is_answered_so_that_alertmanager_tries_again() -> None:
    service = Service({"errcode": -1, "errmsg": "system busy"})
    answer = service.ask("POST", "/v1/wecom", json=BODY)
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "wecom refused (errcode -1): system busy"
    assert service.counted("failed") == 1


def test_a_robot_that_spoke_too_often_says_when_to_try_again() -> None:
    service = Service({"errcode": 45009, "errmsg": "api freq out of limit"})
    answer = service.ask("POST", "/v1/wecom", json=BODY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert service.counted("limited") == 1


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v1/wecom", b"{", 400),
        ("/v1/wecom", b"{}", 400),
        ("/v1/dingtalk", b"{}", 404),
        ("/v1/wecom/x", b"{}", 404),
    ],
)
def test_what_cannot_be_handed_over_is_not_tried_again(
    path: str, content: bytes, status: int
) -> None:
    service = Service(OK)
    assert service.ask("POST", path, content=content).status_code == status
    assert service.counted("sent") == 0


def test_a_body_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_BODY_BYTES", 10)
    assert Service(OK).ask("POST", "/v1/wecom", json=BODY).status_code == 413


def test_with_a_token_only_who_knows_it_may_post() -> None:
    service = Service(OK, token="sesame")
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic sesame"}):
        answer = service.ask("POST", "/v1/wecom", json=BODY, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert service.ask("GET", "/metrics", headers=headers).status_code == 401
    allowed = {"Authorization": "Bearer sesame"}
    assert service.ask("POST", "/v1/wecom", json=BODY, headers=allowed).status_code == 200
    assert "undertone_notify_messages_total" in service.ask("GET", "/metrics", headers=allowed).text
    assert service.ask("GET", "/healthz").status_code == 200
