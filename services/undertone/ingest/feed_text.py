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
_TAG_NAME = re.compile(r"<(/?)([A-Za-z][^\s/<>]*)")
_SPACES = re.compile(r"\s+")
# Text is cut to its limit anyway, so markup is not read far beyond it.
MARKUP_LIMIT_CHARACTERS = 1 << 17


def text_of_html(markup: str) -> str:
    """What a reader sees of HTML, on one line; scripts and styles are nothing.

    Linear in the length, whatever the markup. That takes some care: the standard library's parser
    reads 60 KB of `<a <a …` in minutes (Python 3.11), and the tree that HTML asks for takes as long
    for `<div><div>…`: so all tags that mean nothing here are the same to the parser.
    """
    alike = _TAG_NAME.sub(_renamed, markup[:MARKUP_LIMIT_CHARACTERS])
    return one_line(html.unescape(nh3.clean(alike, tags=set())))


def _renamed(tag: re.Match[str]) -> str:
    end, name = tag[1], tag[2].lower()
    if name in ("script", "style"):
        return tag[0]
    return f" <{end}x" if name in _BLOCKS else f"<{end}x"


def one_line(text: str) -> str:
    """The text with single spaces, without NUL and what is no Unicode text."""
    readable = text.replace("\x00", "").encode("utf-8", "ignore").decode()
    return _SPACES.sub(" ", readable).strip()


def cut(text: str, limit_bytes: int) -> str:
    """The beginning of a text that fits into so many bytes of UTF-8, whole characters only."""
    return text.encode()[: max(0, limit_bytes)].decode("utf-8", "ignore")
