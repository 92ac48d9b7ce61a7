"""Other people's JSON → the fields of a RawMessage (design §9, `fields:` in undertone.yaml).

    fields:
      "tweets*.jsonl.gz":            # a topic or a file name; the first pattern that fits counts
        text: full_text              # the same as {field: full_text}
        author: user.screen_name     # dots reach into nested objects
        source: {const: twitter}
        subjects: entities           # a list, one value, or objects with a `name`

Fields that a mapping does not name are taken under their own names; all others are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from undertone.records import RawMessage
from undertone.settings import FieldMapping

RAW_FIELDS = tuple(RawMessage.model_fields)
LIST_FIELDS = ("subjects",)
NO_MAPPING: Mapping[str, FieldMapping] = MappingProxyType({})

_SCHEMA_PREFIX = RawMessage.SCHEMA.partition("/")[0] + "/"
_NOT_ID = re.compile(r"[^a-z0-9]+")
_MISSING = object()


def mapping_for(
    name: str, fields: Mapping[str, Mapping[str, FieldMapping]]
) -> Mapping[str, FieldMapping]:
    """The mapping of a topic or file: the first pattern that fits its name or its last part."""
    last = PurePath(name).name
    for pattern, mapping in fields.items():
        if fnmatchcase(name, pattern) or fnmatchcase(last, pattern):
            return mapping
    return NO_MAPPING


def apply_mapping(document: dict[str, Any], mapping: Mapping[str, FieldMapping]) -> dict[str, Any]:
    """A document of other people's making → one that RawMessage can validate.

    A document that carries our own schema tag was mapped when it was ingested, and stays as it is.
    A mapped field that is absent or null is left out (validation then names it). Nothing is
    checked here but shape: a single tag becomes a list, a tag that is an object gives its `name`.
    """
    schema = document.get("schema")
    if isinstance(schema, str) and schema.startswith(_SCHEMA_PREFIX):
        return document
    result: dict[str, Any] = {}
    for name in RAW_FIELDS:
        rule = mapping.get(name)
        if rule is None:
            value = document.get(name)
        elif rule.field is not None:
            value = _at_path(document, rule.field)
        else:
            value = rule.const
        if value is not None:
            result[name] = _as_names(value) if name in LIST_FIELDS else value
    return result


def subject_id(name: str) -> str:
    """A name → an id of the watchlist: `Goldman Sachs` → `goldman-sachs`, `AT&T` → `at-t`.

    Accents are dropped (`Société Générale` → `societe-generale`); a name without a Latin letter
    or a digit gives the empty string. An id gives itself, except for doubled or outer hyphens.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _NOT_ID.sub("-", plain).strip("-")


def _at_path(document: Mapping[str, Any], path: str) -> Any:
    """`user.name` → document["user"]["name"], unless a field is called `user.name` itself."""
    value = document.get(path, _MISSING)
    if value is not _MISSING:
        return value
    value = document
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _as_names(value: Any) -> list[Any]:
    """One tag or several → a list of names; what is neither text nor number is left to fail."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return [_as_name(item) for item in (value if several else [value]) if item is not None]


def _as_name(item: Any) -> Any:
    if isinstance(item, Mapping):
        item = item.get("name", item)
    is_number = isinstance(item, int | float) and not isinstance(item, bool)
    return str(item) if is_number else item
