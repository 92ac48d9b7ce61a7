"""What stands before the pages: the token, the headers that confine them, and a count."""

from __future__ import annotations

import base64
import binascii
import hmac

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from undertone.board.metrics import BoardMetrics
from undertone.listening import is_bearer_of

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
UNCOUNTED = OPEN_PATHS | {"/metrics", "/icon.svg"}
_DENIED = (
    "a token is needed: send it as the password (with any user name), "
    "or as `Authorization: Bearer TOKEN`\n"
)


class Gate:
    """Lets a request through to `app` where it brings the token, and puts headers on all answers.

    A browser asks its user for the token: it takes it as a password, with any user name.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: BoardMetrics, token: str | None, policy: str
    ) -> None:
        self._app, self._metrics = app, metrics
        self._token = None if token is None else token.encode()
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def confined(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
                if scope["path"] not in UNCOUNTED:
                    self._metrics.requests.labels(str(message["status"])).inc()
            await send(message)

        token = self._token
        if token is None or scope["path"] in OPEN_PATHS or self._brings(token, scope):
            await self._app(scope, receive, confined)
            return
        challenge = {"WWW-Authenticate": 'Basic realm="undertone", charset="UTF-8"'}
        await PlainTextResponse(_DENIED, 401, challenge)(scope, receive, confined)

    def _brings(self, token: bytes, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, secret = given.partition(b" ")
        if kind.lower() != b"basic":
            return is_bearer_of(token, given)
        try:
            password = base64.b64decode(secret.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return False
        return hmac.compare_digest(password, token)
