"""How configuration files are read and how their mistakes are told.

Every message names the file, the field and what was expected, and never repeats a value that may be
a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from undertone.errors import ConfigurationError

Place = Sequence[str | int]

# Pydantic's types of error, where its own words are those of a programmer.
_EXPECTED = {
    "missing": "is missing",
    "model_type": "expected a mapping of fields",
    "dict_type": "expected a mapping",
    "tuple_type": "expected a list",
    "string_type": "expected text; put quotes around what looks like a number, yes or no",
}


def refuse_unknown_fields(document: object, known: Iterable[str]) -> None:
    """Raise ValueError for a field that is not known, with the nearest name that is."""
    if not isinstance(document, Mapping):
        return
    names = list(known)
    for field in document:
        if field not in names:
            near = get_close_matches(str(field).lower(), names, n=1, cutoff=0.5)
            advice = f"did you mean `{near[0]}`?" if near else f"expected {', '.join(names)}"
            raise ValueError(f"unknown field `{field}`; {advice}")


class ConfigSection(BaseModel):
    """A part of a configuration file: frozen, and strict about its fields' names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _fields_are_known(cls, document: object) -> object:
        names = (field.alias or name for name, field in cls.model_fields.items())
        refuse_unknown_fields(document, names)
        return document


def dotted(place: Place) -> str:
    """`("subjects", 3, "id")` → `subjects.3.id`."""
    return ".".join(map(str, place))


def describe_findings(error: ValidationError, where: Callable[[Place], str] = dotted) -> str:
    """Pydantic's findings in one line, `place: what is wrong; place: …`, without any input."""
    parts = []
    for item in error.errors(include_url=False, include_input=False):
        wrong = _EXPECTED.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        parts.append(": ".join(filter(None, [where(item["loc"]), wrong])))
    return "; ".join(dict.fromkeys(parts))


def read_yaml(path: Path) -> Any:
    """One YAML document. Raises ConfigurationError that names the file and the line."""
    try:
        with path.open("rb") as file:
            return yaml.load(file, _StrictLoader)  # a SafeLoader: builds plain data only
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text ({error.reason})") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {_marked(error)}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 text ({error.reason})") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path}: is not valid YAML ({type(error).__name__})") from None


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the field `{key.value}` stands twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _marked(error: yaml.MarkedYAMLError) -> str:
    """What is wrong and where, without the line itself, which may hold a password."""
    wrong = re.sub(r"'[^'<]{2,}'", "'…'", error.problem or error.context or "cannot be parsed")
    mark = error.problem_mark or error.context_mark
    return wrong if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {wrong}"
