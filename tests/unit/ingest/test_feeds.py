"""Feeds → messages: what an entry becomes, what is new, and what a hostile document cannot do."""

from __future__ import annotations

import resource
from html import escape
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone.errors import FeedError
from undertone.ingest import feeds
from undertone.ingest.feed_text import cut, text_of_html
from undertone.ingest.feeds import Document, Feed, Reading, entry_id, read_feed
from undertone.records import TEXT_LIMIT_BYTES, Kind, RawMessage, parse_instant

ARRIVED_MS = parse_instant("2026-01-31T09:30:00Z")
FEED = Feed("http://wire.test/feed.xml")


def rss(*items: str, title: str = "The Wire", more: str = "") -> bytes:
    body = "".join(f"<item>{item}</item>" for item in items)
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<channel><title>{title}</title>{more}{body}</channel></rss>"
    ).encode()


def read(body: bytes, feed: Feed = FEED, seen: tuple[str, ...] = ()) -> Reading:
    return read_feed(Document(body, "application/xml"), feed, seen, ARRIVED_MS)


def only(body: bytes, feed: Feed = FEED) -> RawMessage:
    (message,) = read(body, feed).messages
    return message


def test_an_rss_item_becomes_a_message() -> None:
    message = only(
        rss(
            "<title>Acme &amp; Bolt: profits &lt; expected</title>"
            "<link>http://wire.test/a?x=1&amp;y=2</link><guid>http://wire.test/a</guid>"
            "<pubDate>Sat, 31 Jan 2026 10:15:00 +0100</pubDate><dc:creator>Jo Poe</dc:creator>"
            "<description>&lt;p&gt;Short&lt;/p&gt;</description>"
            "<content:encoded><![CDATA[<p>Whole &amp; long.</p><p>Next<script>x()</script></p>]]>"
            "</content:encoded>",
            more="<language>en-GB</language>",
        )
    )
    assert message.model_dump(exclude={"id"}, exclude_none=True) == {
        "source": "The Wire",
        "kind": Kind.NEWS,
        "published_at": parse_instant("2026-01-31T09:15:00Z"),
        "title": "Acme & Bolt: profits < expected",
        "text": "Whole & long. Next",
        "url": "http://wire.test/a?x=1&y=2",
        "author": "Jo Poe",
        "language": "en-GB",
        "subjects": (),
    }


def test_an_atom_entry_becomes_a_message() -> None:
    message = only(
        b'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="zh"><title type="html">Wire &lt;b&gt;'
        b"One&lt;/b&gt;</title><entry><id>tag:wire.test,2026:1</id><title>a &lt; b</title>"
        b'<link href="/1"/><updated>2026-01-30T00:00:00Z</updated>'
        b'<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>One</p><p>two</p></div>'
        b"</content></entry></feed>"
    )
    assert (message.source, message.title, message.text) == ("Wire One", "a < b", "One two")
    assert message.url == "http://wire.test/1"
    assert message.published_at == parse_instant("2026-01-30T00:00:00Z")
    assert message.language == "zh"


def test_what_is_given_wins_over_what_the_feed_says() -> None:
    feed = Feed(FEED.url, source="reuters", kind=Kind.SOCIAL, language="de")
    message = only(rss("<title>x</title>", more="<language>en</language>"), feed)
    assert (message.source, message.kind, message.language) == ("reuters", Kind.SOCIAL, "de")


@pytest.mark.parametrize(
    "date",
    ["", "<pubDate>yesterday</pubDate>", "<pubDate>Mon, 99 Foo 2026</pubDate>", "<pubDate/>"],
)
def test_without_a_usable_date_an_entry_is_published_when_it_arrives(date: str) -> None:
    assert only(rss(f"<title>x</title>{date}")).published_at == ARRIVED_MS


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "ftp://h/x", "", "http://[", "http://" + "x" * 5000]
)
def test_a_link_that_no_one_should_follow_is_left_out(link: str) -> None:
    assert only(rss(f"<title>x</title><guid>1</guid><link>{link}</link>")).url is None


def test_a_relative_link_leads_to_the_feeds_host_and_tells_no_password() -> None:
    feed = Feed("https://me:secret@wire.test/news/feed.xml")
    message = only(rss("<title>x</title><link>../a?b=1</link>"), feed)
    assert message.url == "https://wire.test/a?b=1"


def test_entries_come_by_their_time_and_of_one_moment_the_lower_first() -> None:
    dated = "<title>{}</title><pubDate>Sat, 31 Jan 2026 0{}:00:00 GMT</pubDate>"
    items = [dated.format(name, hour) for name, hour in [("d", 4), ("c", 2), ("b", 2), ("e", 5)]]
    titles = [message.title for message in read(rss(*items, dated.format("a", 1))).messages]
    assert titles == ["a", "b", "c", "d", "e"]


def test_entries_that_say_nothing_are_skipped_and_counted() -> None:
    reading = read(rss("<title>x</title>", "<guid>1</guid>", "<title>&lt;p&gt; &lt;/p&gt;</title>"))
    assert (len(reading.messages), reading.skipped) == (1, 2)


def test_a_long_text_is_cut_to_what_a_message_may_hold() -> None:
    message = only(rss(f"<title>{'é' * 40_000}</title><description>{'漢' * 40_000}</description>"))
    size = len(message.text.encode()) + len((message.title or "").encode())
    assert TEXT_LIMIT_BYTES - 4 < size <= TEXT_LIMIT_BYTES


def test_a_feed_without_a_title_is_named_by_its_host() -> None:
    assert only(rss("<title>x</title>", title="")).source == "wire.test"


def test_an_id_is_the_entrys_own_and_the_same_in_every_process() -> None:
    here, there = Feed("http://a.test/feed"), Feed("http://b.test/feed")
    uri, number = (
        rss("<guid>http://x.test/1</guid><title>x</title>"),
        rss("<guid>1</guid><title>x</title>"),
    )
    assert only(uri, here).id == only(uri, there).id
    assert only(number, here).id != only(number, there).id
    assert only(uri, here).id == "feed-e832aeb380d0a912afa13745d87f607b"
    secret = Feed("http://me:secret@a.test/feed")
    assert only(number, secret).id == only(number, here).id
    assert "secret" not in secret.name


def test_a_key_in_a_feeds_address_is_never_shown_and_its_ids_stay_as_they_were() -> None:
    feed = Feed("https://me:pw@a.test/rss?token=s3cret&page=2&k3y#part")
    assert feed.name == "https://a.test/rss?token=…&page=…&…#part"
    assert feed.key.startswith(f"{feed.name} ")
    assert "s3cret" not in feed.key
    assert feed.key != Feed("https://a.test/rss?token=other&page=2&k3y#part").key
    assert FEED.key == FEED.name == FEED.url
    entry = only(rss("<guid>1</guid><title>x</title><link>#1</link>"), feed)
    assert entry.id == entry_id("1", "https://a.test/rss?token=s3cret&page=2&k3y#part")
    assert entry.url == "https://a.test/rss#1"


def test_an_entry_that_changes_is_the_same_entry() -> None:
    first = read(rss("<guid>1</guid><title>before</title>"))
    again = read(rss("<guid>1</guid><title>after</title>"), seen=first.seen)
    assert again == Reading((), first.seen, 0)


def test_a_cut_off_document_gives_the_entries_it_holds() -> None:
    whole = rss("<title>one</title>", "<title>two</title>")
    reading = read(whole[: whole.index(b"two")])
    assert "one" in [message.title for message in reading.messages]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"<!doctype html><html><body>Sign in</body></html>",
        b'{"items": []}',
        b"\x00\xff",
    ],
)
def test_what_is_no_feed_is_told(body: bytes) -> None:
    with pytest.raises(FeedError, match=r"no RSS or Atom feed|cannot be read"):
        read(body)


def test_an_empty_feed_is_a_feed() -> None:
    assert read(rss()).messages == ()


def laughs(depth: int) -> str:
    entities = ['<!ENTITY e0 "ha ha ha ha ha ha ha ha">']
    entities += [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, depth)]
    return f"<!DOCTYPE rss [{''.join(entities)}]>"


@pytest.mark.parametrize(
    ("doctype", "reference"),
    [
        (laughs(12), "&e11;"),
        (f'<!DOCTYPE rss [<!ENTITY q "{"A" * 50_000}">]>', "&q;" * 50_000),
        ('<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
    ],
    ids=["a billion laughs", "quadratic blow-up", "external entity"],
)
def test_entities_cannot_blow_up_memory_or_read_files(doctype: str, reference: str) -> None:
    body = f'<?xml version="1.0"?>{doctype}<rss version="2.0"><channel><title>x</title><item>'
    body += f"<title>t{reference}</title></item></channel></rss>"
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    messages = read(body.encode()).messages
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < 100_000
    assert "root:" not in str(messages)


def test_markup_that_never_ends_is_read_at_once() -> None:
    for part in ("<a ", "<!--", "<a b='", "</", "<div>", "&#", "<![CDATA["):
        assert len(text_of_html(part * 50_000)) < 300_000


entries = st.lists(st.integers(0, 40), max_size=12, unique=True)


@given(st.lists(entries, max_size=8))
@settings(deadline=None, max_examples=40)
def test_no_entry_comes_twice_and_none_is_lost(documents: list[list[int]]) -> None:
    seen: tuple[str, ...] = ()
    told: list[str | None] = []
    for document in documents:
        items = [f"<guid>{number}</guid><title>entry {number}</title>" for number in document]
        reading = read(rss(*items), seen=seen)
        told += [message.title for message in reading.messages]
        seen = reading.seen
    assert len(told) == len(set(told))
    assert set(told) == {f"entry {number}" for document in documents for number in document}


@given(st.lists(entries, max_size=6), st.integers(1, 10))
@settings(deadline=None, max_examples=40)
def test_what_is_remembered_is_bounded_and_holds_all_that_stands(
    documents: list[list[int]], kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeds, "SEEN_KEPT", kept)
        seen: tuple[str, ...] = ()
        for document in documents:
            body = rss(*(f"<guid>{number}</guid><title>x</title>" for number in document))
            seen = read(body, seen=seen).seen
            assert len(seen) <= kept + len(document)
            assert read(body, seen=seen).messages == ()


def test_a_document_of_very_many_entries_is_read_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeds, "MAX_ENTRIES", 3)
    reading = read(rss(*(f"<title>{number}</title>" for number in range(5))))
    assert (len(reading.messages), reading.skipped) == (3, 2)


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(st.lists(words, max_size=20))
@settings(deadline=None)
def test_text_put_into_html_comes_out_as_it_was(parts: list[str]) -> None:
    markup = "".join(f"<p class='a'>{escape(part)}</p><!-- no -->" for part in parts)
    assert text_of_html(markup) == " ".join(parts)


@given(st.text(max_size=200))
@settings(deadline=None)
def test_no_markup_makes_it_fail_or_speak_in_two_lines(markup: str) -> None:
    assert "\n" not in text_of_html(markup)


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=60)
def test_whatever_the_bytes_a_document_is_read_or_refused(body: bytes) -> None:
    for document in (body, rss("<title>x</title>")[:-20] + body, b"<rss>" + body):
        try:
            messages = read(document).messages
        except FeedError:
            continue
        for earlier, later in pairwise(messages):
            assert earlier.published_at <= later.published_at


@given(st.text(max_size=50), st.integers(0, 60))
def test_a_cut_text_fits_and_begins_the_same(text: str, limit: int) -> None:
    shorter = cut(text, limit)
    assert text.startswith(shorter)
    assert len(shorter.encode()) <= limit < len(shorter.encode()) + 4 or shorter == text
