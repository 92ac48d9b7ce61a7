"""Templates → HTML, with a policy that allows the page's own style and nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undertone.pages.wording import FILTERS

if TYPE_CHECKING:  # comes with extras
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Style:
    """A style sheet as the page holds it, and the source by which its policy allows it."""

    text: Markup
    source: str

    @classmethod
    def of(cls, own: Path) -> Style:
        """What all pages share, then a page's own."""
        from markupsafe import Markup

        sheets = (_TEMPLATES / "page.css", own)
        text = "\n" + "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
        return cls(Markup(text), source_of(text))


def source_of(text: str) -> str:
    """How a Content-Security-Policy names an inline style or script, by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def environment(
    templates: Path, filters: Mapping[str, Callable[..., Any]] = FILTERS
) -> Environment:
    """Templates of a folder and the parts that pages share; every value is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([templates, _TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters.update(filters)
    return made
