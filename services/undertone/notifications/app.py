"""The application: Alertmanager's webhook, one path a robot.

A path of its own lets Alertmanager keep account of each robot: what one has taken is not sent to it
again because another failed. It tries again what is answered with 5xx, and nothing else.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from undertone.errors import RecordError, RobotError
from undertone.listening import is_bearer_of
from undertone.notifications.metrics import NotifyMetrics
from undertone.notifications.payload import Payload, read_payload
from undertone.notifications.robots import Robot, RobotLimitError

MAX_BODY_BYTES = 8 << 20

log = logging.getLogger(__name__)


class Receiver:
    """Answers the requests of one process."""

    def __init__(
        self, robots: Mapping[str, Robot], token: str | None, registry: CollectorRegistry
    ) -> None:
        self._robots, self._registry = robots, registry
        self._token = None if token is None else token.encode()
        self._metrics = NotifyMetrics(registry, robots)

    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/v1/{robot}", self.notify, methods=["POST"]),
                Route("/healthz", self.healthz),
                Route("/metrics", self.exposition),
            ]
        )

    async def notify(self, request: Request) -> Response:
        """Hand one notification to one robot: 200 once it has taken it."""
        if not self._may(request):
            return _error(401, "a token is needed: send the header `Authorization: Bearer TOKEN`")
        robot = self._robots.get(request.path_params["robot"])
        if robot is None:
            known = ", ".join(f"/v1/{name}" for name in self._robots) or "none is set"
            return _error(404, f"no such robot in the settings ({known})")
        try:
            body = await _body(request)
        except ClientDisconnect:
            return _error(400, "the body is not complete")
        if body is None:
            return _error(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")
        try:
            payload = read_payload(body)
        except RecordError as error:
            return _error(400, error.message)
        return await self._hand_over(robot, payload)

    async def healthz(self, _request: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "alive"})

    async def exposition(self, request: Request) -> Response:
        """Prometheus metrics."""
        if not self._may(request):
            return _error(401, "a token is needed: send the header `Authorization: Bearer TOKEN`")
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=content_type)

    async def _hand_over(self, robot: Robot, payload: Payload) -> Response:
        name, outcome = robot.kind.name, "failed"
        try:
            with self._metrics.seconds.labels(name).time():
                await robot.send(payload)
            outcome = "sent"
        except RobotLimitError as error:
            outcome = "limited"
            log.warning("a notification has to wait: %s", error.message)
            answer = _error(503, error.message)
            answer.headers["Retry-After"] = str(math.ceil(error.retry_ms / 1000))
            return answer
        except RobotError as error:
            log.warning("a notification was not taken: %s", error)
            return _error(502, error.message)
        finally:
            self._metrics.messages.labels(name, outcome).inc()
        return JSONResponse({"status": "sent"})

    def _may(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode("latin-1")
        return self._token is None or is_bearer_of(self._token, given)


async def _body(request: Request) -> bytes | None:
    """The whole body; none where it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _error(status: int, message: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": {"message": message}}, status, headers)
