"""Group robots of WeCom and DingTalk: what is posted to them, and what their answers mean.

Both answer 200 with an `errcode` that is not 0 when they refuse, and let each robot speak 20 times
a minute; DingTalk silences one that says more for ten minutes. A robot's address holds its key, so
no message or log line here ever names it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from undertone.alerting.notice import one_line
from undertone.errors import RobotError
from undertone.notifications.messages import Message, to_message
from undertone.notifications.payload import Payload
from undertone.settings import NotifySettings

MESSAGES_A_MINUTE = 20
MINUTE_MS = 60_000


class RobotLimitError(RobotError):
    """The robot may not speak now; `retry_ms` says for how long."""

    def __init__(self, message: str, retry_ms: int) -> None:
        super().__init__(message)
        self.retry_ms = retry_ms


@dataclass(frozen=True)
class Kind:
    """What one of the two services asks for.

    `silences` are its error codes for too many messages, `silence_ms` how long that lasts.
    """

    name: str
    limit_bytes: int
    line_end: str
    silences: frozenset[int]
    silence_ms: int
    body: Callable[[Message], dict[str, Any]]


def _wecom_body(message: Message) -> dict[str, Any]:
    return {"msgtype": "markdown", "markdown": {"content": message.text}}


def _dingtalk_body(message: Message) -> dict[str, Any]:
    markdown = {"title": message.title, "text": message.text}
    return {"msgtype": "markdown", "markdown": markdown, "at": {"isAtAll": False}}


WECOM = Kind("wecom", 4096, "\n", frozenset({45009}), MINUTE_MS, _wecom_body)
# The limit of 20,000 bytes is that of the whole body.
DINGTALK = Kind("dingtalk", 16_000, "\n\n", frozenset({130101}), 10 * MINUTE_MS, _dingtalk_body)


class Quota:
    """At most so many messages in any minute."""

    def __init__(self, limit: int = MESSAGES_A_MINUTE) -> None:
        self._limit = limit
        self._taken_ms: deque[int] = deque()
        self._silent_until_ms = 0

    def take(self, now_ms: int) -> int:
        """Take one message's place; how many ms to wait where there is none, 0 when taken."""
        while self._taken_ms and self._taken_ms[0] <= now_ms - MINUTE_MS:
            self._taken_ms.popleft()
        if now_ms < self._silent_until_ms:
            return self._silent_until_ms - now_ms
        if len(self._taken_ms) >= self._limit:
            return self._taken_ms[0] + MINUTE_MS - now_ms
        self._taken_ms.append(now_ms)
        return 0

    def silence(self, until_ms: int) -> None:
        """Say nothing until then."""
        self._silent_until_ms = max(self._silent_until_ms, until_ms)


class Robot:
    """One robot, posted to by one event loop."""

    def __init__(
        self,
        kind: Kind,
        url: str,
        *,
        secret: str | None,
        http: httpx.AsyncClient,
        clock_ms: Callable[[], int],
    ) -> None:
        self.kind = kind
        self._url, self._secret = httpx.URL(url), secret
        self._http, self._clock_ms = http, clock_ms
        self._quota = Quota()
        # A refusal may repeat what it was sent.
        self._hidden = [value for value in (url, secret, *self._url.params.values()) if value]

    async def send(self, payload: Payload) -> None:
        """Post one notification. Raises RobotError, RobotLimitError where it is not taken."""
        kind, now_ms = self.kind, self._clock_ms()
        message = to_message(payload, limit_bytes=kind.limit_bytes, line_end=kind.line_end)
        if wait_ms := self._quota.take(now_ms):
            raise RobotLimitError(f"{kind.name}: {MESSAGES_A_MINUTE} messages a minute", wait_ms)
        url = self._url
        if self._secret is not None:
            url = url.copy_merge_params(signature(self._secret, now_ms))
        try:
            answer = await self._http.post(url, json=kind.body(message))
        except httpx.HTTPError as error:  # its text may hold the address
            raise RobotError(
                f"{kind.name}: {type(error).__name__}",
                hint=f"Check notify.{kind.name}.url, and the way to it.",
            ) from None
        self._check(answer)

    def _check(self, answer: httpx.Response) -> None:
        """Raise RobotError unless the robot says that it has taken the message."""
        name = self.kind.name
        if not answer.is_success:
            raise RobotError(f"{name} answered {answer.status_code}")
        try:
            code, said = answer.json()["errcode"], str(answer.json().get("errmsg", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise RobotError(
                f"{name} does not answer like a robot", hint=f"Check notify.{name}.url."
            ) from None
        if code == 0:
            return
        for value in self._hidden:
            said = said.replace(value, "…")
        message = f"{name} refused (errcode {one_line(str(code), 20)}): {one_line(said, 300)}"
        if code in self.kind.silences:
            self._quota.silence(self._clock_ms() + self.kind.silence_ms)
            raise RobotLimitError(message, self.kind.silence_ms)
        raise RobotError(message)


def signature(secret: str, now_ms: int) -> dict[str, str]:
    """DingTalk's signature: HMAC-SHA256 by the secret, of the time and the secret."""
    signed = hmac.new(secret.encode(), f"{now_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return {"timestamp": str(now_ms), "sign": base64.b64encode(signed).decode()}


def robots_of(
    settings: NotifySettings, http: httpx.AsyncClient, clock_ms: Callable[[], int]
) -> dict[str, Robot]:
    """The robots of the settings, by name."""
    robots = {}
    if (wecom := settings.wecom) is not None:
        url = wecom.url.get_secret_value()
        robots["wecom"] = Robot(WECOM, url, secret=None, http=http, clock_ms=clock_ms)
    if (ding := settings.dingtalk) is not None:
        url = ding.url.get_secret_value()
        secret = None if ding.secret is None else ding.secret.get_secret_value()
        robots["dingtalk"] = Robot(DINGTALK, url, secret=secret, http=http, clock_ms=clock_ms)
    return robots
