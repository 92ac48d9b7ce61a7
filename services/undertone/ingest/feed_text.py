"""HTML of feeds → plain text."""

from __future__ import annotations

import html
import re

import nh3

# Where one of these begins or ends, so does a word.
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt"),
    *("figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"),
    *("li", "main", "nav", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul"),
}
_TAG = re.compile(r"<[^<>]*>")
_SPACES = re.compile(r"\s+")
# Text that is cut to its limit anyway is not parsed far beyond it.
MARKUP_LIMIT_CHARACTERS = 1 << 19


def text_of_html(markup: str) -> str:
    """What a reader sees of HTML, on one line; scripts and styles are nothing.

    The standard library's parser takes minutes for 60 KB of `<a <a …` (measured, Python 3.11);
    this one is linear.
    """
    blocks = nh3.clean(markup[:MARKUP_LIMIT_CHARACTERS], tags=_BLOCKS, attributes={}, link_rel=None)
    return one_line(html.unescape(_TAG.sub(" ", blocks)))


def one_line(text: str) -> str:
    """The text with single spaces, without NUL and what is no Unicode text."""
    readable = text.replace("\x00", "").encode("utf-8", "ignore").decode()
    return _SPACES.sub(" ", readable).strip()


def cut(text: str, limit_bytes: int) -> str:
    """The beginning of a text that fits into so many bytes of UTF-8, whole characters only."""
    return text.encode()[: max(0, limit_bytes)].decode("utf-8", "ignore")
