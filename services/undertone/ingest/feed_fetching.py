"""One feed fetched over HTTP, within bounds of time and size whatever the server does."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import httpx

from undertone import __version__
from undertone.errors import FeedError
from undertone.ingest.feed_schedule import OK, Answer, FeedState
from undertone.ingest.feeds import Document, Feed

BODY_LIMIT_BYTES = 4 << 20
TIMEOUT_SECONDS = 10.0  # to connect, and between two parts of an answer
DEADLINE_SECONDS = 25.0  # for all of an answer
MAX_REDIRECTS = 5

_HEADERS = {
    "User-Agent": f"undertone/{__version__}",
    "Accept": "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
}
_AUTOMATIC_WINDOW = 32 + zlib.MAX_WBITS  # gzip or zlib, by the header


class FeedFetcher:
    """Asks for feeds, only for what is new where the server can tell. Threads may share it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, headers=_HEADERS)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def fetch(self, feed: Feed, state: FeedState) -> Answer:
        """The server's answer. Raises FeedError where none can be had or used."""
        headers = {"If-None-Match": state.etag, "If-Modified-Since": state.modified}
        deadline = self._clock() + DEADLINE_SECONDS
        try:
            request: httpx.Request | None = self._client.build_request(
                "GET", feed.url, headers={k: v for k, v in headers.items() if v is not None}
            )
            # Left to itself, httpx reads the whole body of each redirect into memory.
            for _ in range(MAX_REDIRECTS + 1):
                assert request is not None
                response = self._client.send(request, stream=True, follow_redirects=False)
                try:
                    request = response.next_request
                    if request is None:
                        return self._answer(response, deadline)
                finally:
                    response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FeedError(f"cannot be fetched: {type(error).__name__}: {error}") from None
        raise FeedError(f"more than {MAX_REDIRECTS} redirects")

    def _answer(self, response: httpx.Response, deadline: float) -> Answer:
        """The body is read of a 200 alone: nothing else says anything of use in it."""
        body = self._body(response, deadline) if response.status_code == OK else b""
        kind = response.headers.get("content-type", "")
        document = Document(body, kind)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, document)

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        """The body, unpacked here: httpx unpacks whatever size a few packed bytes stand for."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise FeedError(f"is encoded as {encoding[:40]!r}, where gzip was asked for")
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > BODY_LIMIT_BYTES:
                raise FeedError(f"has more than {BODY_LIMIT_BYTES:,} bytes")
            if self._clock() > deadline:
                raise FeedError(f"has not arrived in {DEADLINE_SECONDS:.0f} s")
        return _unpacked(bytes(body)) if encoding.endswith("gzip") else bytes(body)


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=_AUTOMATIC_WINDOW)
    try:
        body = unpacker.decompress(packed, BODY_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise FeedError(f"its gzip data is damaged: {error}") from None
    if len(body) > BODY_LIMIT_BYTES:
        raise FeedError(f"has more than {BODY_LIMIT_BYTES:,} bytes")
    if not unpacker.eof:
        raise FeedError("its gzip data is cut off")
    return body
