"""The tables of docs/configuration.md, from the models that read the files.

    python docs/configuration_reference.py

Writes what stands between `<!-- NAME -->` and `<!-- end -->` anew; the rest is written by hand.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from undertone.alerting.rules import RuleSet
from undertone.durations import format_duration, parse_duration
from undertone.settings import Settings
from undertone.watchlist.subjects import Watchlist

DOCUMENT = Path(__file__).parent / "configuration.md"
ROOTS: dict[str, type[BaseModel]] = {
    "undertone.yaml": Settings,
    "watchlist.yaml": Watchlist,
    "rules.yaml": RuleSet,
}


def rows(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, default, meaning) of each field; a section's own fields follow it, `[]` its lists."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        below = section_of(field.annotation)
        if below is None:
            yield path, default_of(field), meaning_of(field)
        elif "below" in below:
            yield path, default_of(field), meaning_of(field)
            yield from rows(below["below"], f"{path}[].")
        else:
            if field.default is None or field.is_required():
                yield path, default_of(field), meaning_of(field)
            yield from rows(below["section"], f"{path}.")


def section_of(annotation: Any) -> dict[str, type[BaseModel]] | None:
    """The section that the field holds (`section`), or a list of such (`below`)."""
    if is_section(annotation):
        return {"section": annotation}
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return next(({"section": each} for each in arguments if is_section(each)), None)
    if get_origin(annotation) is tuple and is_section(arguments[0]):
        return {"below": arguments[0]} if arguments[0].__name__ not in SHORT else None
    return None


# Lists of these are written in short and told by their field.
SHORT = frozenset({"Term", "Override"})


def is_section(annotation: Any) -> bool:
    """Whether it is a model with fields of its own."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def default_of(field: FieldInfo) -> str:
    """The default as a file would say it."""
    if field.is_required():
        return "*required*"
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined or default in ((), {}):
        return "none"
    if is_duration(field):
        return f"`{format_duration(default)}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(format_duration(each) for each in default)}]`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, Enum):
        return f"`{default.value}`"
    return f"`{default}`"


def is_duration(field: FieldInfo) -> bool:
    """Whether it is read as `10s`, `5m`."""
    return any(getattr(each, "func", None) is parse_duration for each in field.metadata)


def meaning_of(field: FieldInfo) -> str:
    """Its docstring, and the choices where there are few."""
    meaning = " ".join((field.description or "").split())
    choices = choices_of(field.annotation)
    told = [choice for choice in choices if f"`{choice}`" in meaning]
    if choices and len(told) < len(choices):
        meaning += f" ({', '.join(f'`{choice}`' for choice in choices)})"
    return meaning.replace("|", "\\|")


def choices_of(annotation: Any) -> list[str]:
    """The values that a field may have, where they can be listed."""
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(each.value) for each in annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for each in get_args(annotation) for choice in choices_of(each)]
    return []


def table(model: type[BaseModel]) -> str:
    """A Markdown table of all fields."""
    lines = ["| field | default | meaning |", "|---|---|---|"]
    lines += [f"| `{path}` | {default} | {meaning} |" for path, default, meaning in rows(model)]
    return "\n".join(lines)


def rewritten(document: str) -> str:
    """The document with its tables made anew."""
    for name, model in ROOTS.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
        body = f"\n{table(model)}\n\n"
        document, found = re.subn(
            pattern, lambda match, body=body: match[1] + body + match[2], document, flags=re.S
        )
        assert found == 1, f"{DOCUMENT}: expected one <!-- {name} --> … <!-- end -->"
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
