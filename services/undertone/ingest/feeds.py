"""Feeds → messages: the pure core of `ingest --feed`.

An RSS or Atom document and what is remembered of its feed → the messages of the entries that are
new, and what to remember once they are acknowledged.
"""

from __future__ import annotations

import calendar
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import feedparser
import xxhash
from pydantic import ValidationError

from undertone.errors import FeedError
from undertone.ingest.feed_text import cut, one_line, text_of_html
from undertone.records import (
    EARLIEST_MS,
    LATEST_MS,
    TEXT_LIMIT_BYTES,
    Kind,
    RawMessage,
)

# Ids remembered of entries that have left their feed; those that stand in it are all remembered.
SEEN_KEPT = 5_000
# Of one document; the rest is counted as skipped.
MAX_ENTRIES = 5_000
SOURCE_LIMIT = AUTHOR_LIMIT = 256
URL_LIMIT = 4_096

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed to poll, and what is said of its messages; without a source, the feed's title is."""

    url: str
    source: str | None = None
    kind: Kind = Kind.NEWS
    language: str | None = None

    @property
    def scope(self) -> str:
        """What tells it from other feeds. Not to be shown: a query may hold a key to the feed."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def name(self) -> str:
        """The address as it may be shown: without user and password, nor the query's values."""
        parts = urlsplit(self.scope)
        return urlunsplit(parts._replace(query=_without_values(parts.query)))

    @property
    def key(self) -> str:
        """What it is remembered by: its name, and a digest where others may have that name."""
        if self.name == self.scope:
            return self.name
        return f"{self.name} {hashlib.sha256(self.scope.encode()).hexdigest()[:32]}"


def _without_values(query: str) -> str:
    """`token=k3y&page=2` → `token=…&page=…`."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return "&".join(f"{name}=…" if sign else "…" for name, sign, _value in parts)


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of a feed as they were fetched."""

    body: bytes
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document brought: messages, the earliest first; `seen` to remember; entries skipped.

    Skipped are entries that say nothing, and those beyond the 5,000 that a document may have.
    """

    messages: tuple[RawMessage, ...]
    seen: tuple[str, ...]
    skipped: int


def read_feed(document: Document, feed: Feed, seen: Sequence[str], arrived_ms: int) -> Reading:
    """The messages of entries that are not in `seen` (ids, the latest last).

    An entry without a usable time is published at `arrived_ms`. An entry that changes is the same
    entry. Raises FeedError where the document is no feed.
    """
    parsed = _parse(document)
    known, standing = set(seen), dict[str, None]()
    messages: list[RawMessage] = []
    skipped = max(0, len(parsed.entries) - MAX_ENTRIES)
    for entry in parsed.entries[:MAX_ENTRIES]:
        message = _message(entry, parsed.feed, feed, arrived_ms)
        if message is None:
            skipped += 1
            continue
        assert message.id is not None
        if message.id not in known and message.id not in standing:
            messages.append(message)
        standing[message.id] = None
    left = [message_id for message_id in seen if message_id not in standing]
    # A feed lists its latest first: of one moment, what stands further down came earlier.
    messages.reverse()
    messages.sort(key=lambda message: message.published_at)
    return Reading(tuple(messages), (*left[-SEEN_KEPT:], *standing), skipped)


def _parse(document: Document) -> Any:
    # Without an address to resolve against, feedparser leaves ids that are no URI as they are.
    headers = {"content-type": document.content_type}
    nothing = FeedError("is no RSS or Atom feed")
    if not document.body.strip():
        raise nothing
    try:
        # From a stream: what feedparser gets as a string, it may open as a file or an address.
        parsed = feedparser.parse(
            io.BytesIO(document.body),
            response_headers=headers,
            resolve_relative_uris=False,
            sanitize_html=False,
        )
    except (ValueError, AssertionError, LookupError, AttributeError, RecursionError) as error:
        raise FeedError(f"cannot be read: {type(error).__name__}: {error}") from None
    if not parsed.get("version") and not parsed.entries:
        raise nothing
    return parsed


def _message(entry: Any, channel: Any, feed: Feed, arrived_ms: int) -> RawMessage | None:
    """None where the entry says nothing."""
    title = cut(_text(entry.get("title_detail")), TEXT_LIMIT_BYTES // 2)
    text = _body(entry)
    if not title and not text:
        return None
    link = _link(entry, feed)
    identity = str(entry.get("id") or link or f"{title}\n{text}")
    try:
        return RawMessage(
            id=entry_id(identity, feed.scope),
            source=feed.source or _source(channel, feed),
            kind=feed.kind,
            published_at=_published_ms(entry, arrived_ms),
            text=cut(text, TEXT_LIMIT_BYTES - len(title.encode())),
            title=title or None,
            url=link,
            author=one_line(str(entry.get("author") or ""))[:AUTHOR_LIMIT] or None,
            language=feed.language or _language(entry, channel),
        )
    except ValidationError:
        return None


def entry_id(identity: str, feed_scope: str) -> str:
    """The id of an entry's message: the same at every reading, in every process.

    What an entry is called is unique in the world where it is a URI, else in its feed.
    """
    scope = "" if _URI.fullmatch(identity) else feed_scope
    return "feed-" + xxhash.xxh3_128_hexdigest(f"{scope}\n{identity}".encode("utf-8", "replace"))


def _body(entry: Any) -> str:
    """The whole text where the feed has it, else the summary."""
    whole = (_text(detail) for detail in entry.get("content") or ())
    return next(filter(None, whole), "") or _text(entry.get("summary_detail"))


def _text(detail: Any) -> str:
    """The plain text of a text construct; none of what is not text at all."""
    if not detail:
        return ""
    kind, value = str(detail.get("type") or ""), str(detail.get("value") or "")
    if kind == "text/plain":
        return one_line(value)
    return text_of_html(value) if "html" in kind else ""


def _link(entry: Any, feed: Feed) -> str | None:
    told = str(entry.get("link") or "").strip()
    if not told:
        return None
    try:
        link = urljoin(feed.name.partition("?")[0], told)
    except ValueError:
        return None
    fits = len(link) <= URL_LIMIT and re.match(r"https?://[^\s/]", link, re.IGNORECASE)
    return link if fits else None


def _source(channel: Any, feed: Feed) -> str:
    title = _text(channel.get("title_detail"))[:SOURCE_LIMIT].strip()
    return title or (urlsplit(feed.url).hostname or "feed")[:SOURCE_LIMIT]


def _published_ms(entry: Any, arrived_ms: int) -> int:
    for name in ("published_parsed", "updated_parsed", "created_parsed"):
        moment = dict.get(entry, name)  # its own `get` takes one time for another, and warns
        if moment is None:
            continue
        try:
            at_ms = calendar.timegm(moment) * 1000
        except (ValueError, OverflowError, TypeError):
            continue
        if EARLIEST_MS <= at_ms <= LATEST_MS:
            return at_ms
    return arrived_ms


def _language(entry: Any, channel: Any) -> str | None:
    """What the entry says, or its feed; none where it is no code of a language."""
    details = [
        *(entry.get("content") or ()),
        entry.get("summary_detail"),
        entry.get("title_detail"),
    ]
    for told in [
        *(detail.get("language") for detail in details if detail),
        channel.get("language"),
    ]:
        code = str(told or "").strip()
        if len(code) <= 35 and _LANGUAGE.fullmatch(code):
            return code.replace("_", "-")
    return None
