"""A feed server for tests: real HTTP on 127.0.0.1, with validators, faults and what was asked."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def rss(*titles: str) -> bytes:
    """A feed of these entries, the latest first."""
    items = "".join(
        f"<item><guid>urn:test:{title}</guid><title>{title}</title></item>"
        for title in reversed(titles)
    )
    return f'<rss version="2.0"><channel><title>Wire</title>{items}</channel></rss>'.encode()


@dataclass
class FeedServer:
    """What is served at any path, but for `faults`: answers given first, one a request.

    A fault is (status, headers, body). `requests` holds the headers of each request, by lower-case
    name, with its `path`; `statuses` what was answered.
    """

    url: str = ""
    body: bytes = b""
    faults: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def answer(self, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self.faults:
            return self.faults.pop(0)
        etag = f'"{hashlib.sha256(self.body).hexdigest()}"'
        headers = {"ETag": etag, "Last-Modified": "Sat, 31 Jan 2026 09:30:00 GMT"}
        if asked.get("if-none-match") == etag:
            return 304, headers, b""
        headers |= {"Content-Type": "application/rss+xml", "Content-Encoding": "gzip"}
        return 200, headers, gzip.compress(self.body)


@contextmanager
def feed_server() -> Iterator[FeedServer]:
    """A running server."""
    served = FeedServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name.lower(): value for name, value in self.headers.items()}
            served.requests.append({**asked, "path": self.path})
            status, headers, body = served.answer(asked)
            served.statuses.append(status)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
