"""What is posted to robots, what their answers mean, and how often they may speak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from undertone.errors import RobotError
from undertone.notifications.robots import (
    DINGTALK,
    WECOM,
    Kind,
    Quota,
    Robot,
    RobotLimitError,
    signature,
)
from undertone.notifications.service import sample

NOW_MS = 1_700_000_000_000
KEY, SECRET = "sesame-key", "SECsesame"
Answer = Callable[[httpx.Request], httpx.Response]


def robot_of(
    answer: Answer, kind: Kind = WECOM, *, secret: str | None = None, now: list[int] | None = None
) -> Robot:
    """A robot whose requests go to a function; `now` holds the time."""
    clock = now if now is not None else [NOW_MS]
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    url = f"https://robot.example/send?key={KEY}"
    return Robot(kind, url, secret=secret, http=http, clock_ms=lambda: clock[0])


def send(robot: Robot) -> None:
    asyncio.run(robot.send(sample(NOW_MS)))


def taken(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"errcode": 0, "errmsg": "ok"})


def sent_to(kind: Kind, *, secret: str | None = None) -> tuple[httpx.URL, dict[str, Any]]:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return taken(request)

    send(robot_of(answer, kind, secret=secret))
    return requests[0].url, json.loads(requests[0].content)


def test_wecom_takes_markdown() -> None:
    url, body = sent_to(WECOM)
    assert str(url) == f"https://robot.example/send?key={KEY}"
    assert body["msgtype"] == "markdown"
    assert body["markdown"]["content"].startswith("**【INFO】undertone: a trial message")


def test_dingtalk_takes_markdown_with_a_title_and_a_signature() -> None:
    url, body = sent_to(DINGTALK, secret=SECRET)
    assert body["markdown"]["title"].startswith("【INFO】undertone: a trial message")
    assert "\n\nWhy: " in body["markdown"]["text"]
    assert dict(url.params) == {"key": KEY, **signature(SECRET, NOW_MS)}


def test_the_signature_is_that_of_dingtalk() -> None:
    # printf '1577808000000\nthis is secret' | openssl dgst -sha256 -hmac 'this is secret' -binary
    # | base64
    signed = signature("this is secret", 1_577_808_000_000)
    assert signed["timestamp"] == "1577808000000"
    assert signed["sign"] == "ijHEivi6YiCNPZOq4hZstmvZ3sPfbioAiMhP30ae7W0="


def test_without_a_secret_nothing_is_signed() -> None:
    url, _ = sent_to(DINGTALK)
    assert dict(url.params) == {"key": KEY}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(200, json={"errcode": 93000, "errmsg": "no"}), r"errcode 93000\): no"),
        (httpx.Response(200, json={"errmsg": "no"}), "does not answer like a robot"),
        (httpx.Response(200, json=[]), "does not answer like a robot"),
        (httpx.Response(200, text="<html>"), "does not answer like a robot"),
        (httpx.Response(502), "answered 502"),
        (httpx.Response(302, headers={"Location": "http://evil.example"}), "answered 302"),
    ],
)
def test_what_is_not_taken_is_an_error(answer: httpx.Response, message: str) -> None:
    with pytest.raises(RobotError, match=message):
        send(robot_of(lambda _: answer))


def test_no_error_names_the_address_or_the_secret() -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}")

    def telling(request: httpx.Request) -> httpx.Response:
        said = f"bad {request.url} {KEY} {SECRET}"
        return httpx.Response(200, json={"errcode": 1, "errmsg": said})

    for answer in (unreachable, telling):
        with pytest.raises(RobotError) as caught:
            send(robot_of(answer, DINGTALK, secret=SECRET))
        assert KEY not in str(caught.value)
        assert SECRET not in str(caught.value)


def test_twenty_messages_a_minute_are_sent_and_no_more() -> None:
    now = [NOW_MS]
    robot = robot_of(taken, now=now)
    for _ in range(20):
        send(robot)
    now[0] += 59_000
    with pytest.raises(RobotLimitError) as caught:
        send(robot)
    assert caught.value.retry_ms == 1_000
    now[0] += 1_000
    send(robot)


@pytest.mark.parametrize(("kind", "code", "minutes"), [(WECOM, 45009, 1), (DINGTALK, 130101, 10)])
def test_a_robot_that_was_silenced_is_left_alone(kind: Kind, code: int, minutes: int) -> None:
    now, asked = [NOW_MS], []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"errcode": code, "errmsg": "too fast"})

    robot = robot_of(answer, kind, now=now)
    with pytest.raises(RobotLimitError, match="too fast"):
        send(robot)
    now[0] += minutes * 60_000 - 1
    with pytest.raises(RobotLimitError):
        send(robot)
    assert len(asked) == 1
    now[0] += 1
    with pytest.raises(RobotLimitError):
        send(robot)
    assert len(asked) == 2


def test_a_quota_slides() -> None:
    quota = Quota(limit=2)
    assert [quota.take(at) for at in (0, 30_000)] == [0, 0]
    assert quota.take(59_999) == 1
    assert quota.take(60_000) == 0
    assert quota.take(60_001) == 29_999
