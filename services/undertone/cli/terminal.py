"""Text from outside, made safe for a terminal and for rich's markup."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

PLAIN_WIDTH = 200
# What turns the direction of writing, and so what a line seems to say.
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# What JSON may hold as it is, and a terminal must not.
_RAW_IN_JSON = re.compile(f"[\x7f-\x9f\u2028\u2029{''.join(sorted(_DIRECTIONS))}]")
_UNSHOWABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def shown(text: str) -> str:
    """The text on one line, with control characters written out (`\\x1b`) and no markup."""
    return escape(written_out(text))


def written_out(text: str) -> str:
    """Control characters, line ends and marks of direction as escapes that can be read."""
    return "".join(
        character.encode("unicode_escape").decode()
        if character in _DIRECTIONS or unicodedata.category(character) in _UNSHOWABLE
        else character
        for character in text
    )


def console() -> Console:
    """Standard output; wide enough to copy from where nobody watches."""
    made = Console()
    return made if made.is_terminal else Console(width=PLAIN_WIDTH)


def print_json(document: Any) -> None:
    """One JSON object on standard output, which a terminal shows as it is."""
    text = json.dumps(document, ensure_ascii=False)
    typer.echo(_RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
