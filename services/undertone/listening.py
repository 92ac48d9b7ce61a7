"""What our HTTP servers share: the socket that they listen on, their set-up, their token."""

from __future__ import annotations

import hmac
import socket
from typing import TYPE_CHECKING, Any

from undertone.errors import UndertoneError

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 512


def listen(host: str, port: int, *, section: str) -> socket.socket:
    """A listening socket; port 0 picks a free one. `section` of the settings names host and port.

    Raises UndertoneError where the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UndertoneError(f"cannot serve on {host}: {error.strerror}") from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise UndertoneError(
            f"cannot serve on {host}:{port}: {error.strerror}",
            hint=f"Set {section}.port, or --port, to a free port (0 picks one).",
        ) from None
    opened.setblocking(False)
    return opened


def url_of(listening: socket.socket) -> str:
    """Where it listens, with the port that was taken."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(app: Any, *, finish_seconds: int) -> uvicorn.Server:
    """The server of an ASGI application; stopped, it finishes what is in flight in this time."""
    import uvicorn  # of an extra

    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=finish_seconds,
        )
    )


def is_bearer_of(token: bytes, authorization: bytes) -> bool:
    """Whether the value of a header `Authorization` is `Bearer` and this token."""
    kind, _, given = authorization.partition(b" ")
    return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), token)
