"""The shell: a socket and the HTTP server until it is told to stop; a trial message to robots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from prometheus_client import CollectorRegistry

from undertone.errors import ConfigurationError, RobotError
from undertone.listening import listen, server_of, url_of
from undertone.notifications.app import Receiver
from undertone.notifications.payload import Payload, PostedAlert
from undertone.notifications.robots import Robot, robots_of
from undertone.records import format_instant
from undertone.settings import NotifySettings

if TYPE_CHECKING:
    import uvicorn


class NotifyService:
    """Hands notifications over until it is stopped. `run` blocks; `stop` may come from anywhere."""

    def __init__(self, settings: NotifySettings) -> None:
        """Listen at once. `url` is where, with the port that was taken.

        Raises UndertoneError where the address cannot be had, or no robot is set.
        """
        _check_robots(settings)
        self._settings = settings
        self._socket = listen(settings.host, settings.port, section="notify")
        self.url = url_of(self._socket)
        self._server: uvicorn.Server | None = None
        self._stopping = False

    def stop(self) -> None:
        """Take no more notifications and finish those in flight."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True

    def run(self) -> None:
        """Serve until stopped."""
        try:
            asyncio.run(self._serve())
        finally:
            self._socket.close()

    async def _serve(self) -> None:
        settings = self._settings
        token = None if settings.token is None else settings.token.get_secret_value()
        async with _robots(settings) as robots:
            app = Receiver(robots, token, CollectorRegistry()).app()
            self._server = server_of(app, finish_seconds=settings.timeout // 1000 + 1)
            self._server.should_exit = self._stopping
            await self._server.serve(sockets=[self._socket])


def try_robots(settings: NotifySettings, *, clock_ms: int) -> dict[str, str | None]:
    """Send a sample to each robot: what went wrong by robot, none where it was taken.

    `clock_ms` is the time that the sample tells. Raises ConfigurationError where no robot is set.
    """
    _check_robots(settings)

    async def sent() -> dict[str, str | None]:
        async with _robots(settings) as robots:
            return {name: await _tried(robot, sample(clock_ms)) for name, robot in robots.items()}

    return asyncio.run(sent())


def sample(now_ms: int) -> Payload:
    """A notification that says of itself that it is a trial."""
    alert = PostedAlert(
        status="firing",
        labels={"alertname": "UndertoneSentiment", "severity": "info", "rule": "sample"},
        annotations={
            "summary": "undertone: a trial message, nothing has happened",
            "unusual": "as high as in 1 of 10,000 usual windows of 1h",
            "factors": "volume ×4, tone ×2.1, novelty ×1",
            "headline_1": "A headline would stand here, with its link",
            "headline_1_source": f"undertone, {format_instant(now_ms)}",
        },
        startsAt=format_instant(now_ms),
    )
    return Payload(alerts=(alert,))


async def _tried(robot: Robot, payload: Payload) -> str | None:
    try:
        await robot.send(payload)
    except RobotError as error:
        return str(error)
    return None


@asynccontextmanager
async def _robots(settings: NotifySettings) -> AsyncIterator[Mapping[str, Robot]]:
    async with httpx.AsyncClient(timeout=settings.timeout / 1000) as http:
        yield robots_of(settings, http, lambda: time.time_ns() // 1_000_000)


def _check_robots(settings: NotifySettings) -> None:
    if settings.wecom is None and settings.dingtalk is None:
        raise ConfigurationError(
            "no robot is set",
            hint="Set notify.wecom.url or notify.dingtalk.url "
            "(UNDERTONE_NOTIFY__WECOM__URL, UNDERTONE_NOTIFY__DINGTALK__URL).",
        )
