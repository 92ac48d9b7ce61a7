"""The grid of a sweep: `sweep.yaml` → rule sets, one for each combination of parameters.

rules:                                  # sweep.yaml
  negative-surge:
    surprise: [2, 3, 4]                 # of the condition that has one
    min_stories: [3, 5]
  tone-shift:
    negative_share.surprise: [3, 4]     # of several conditions, that on this signal
    resolve.surprise_below: [1, 1.5]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from undertone.alerting.changes import change
from undertone.alerting.rules import RuleSet
from undertone.config_files import describe_findings, read_yaml
from undertone.errors import ConfigurationError, InputFileError

LARGEST_SWEEP = 1_000


@dataclass(frozen=True)
class Choice:
    """One point of the grid: {"rule.parameter": value}, and the rules that it makes."""

    number: int
    parameters: Mapping[str, Any]
    rules: RuleSet

    @property
    def rules_file(self) -> str:
        """Where its rules are, in the folder of the report."""
        return f"sweep/{self.number:03d}/rules.yaml"


def read_sweep(path: Path, rules: RuleSet) -> list[Choice]:
    """The points of a sweep file, in the order of the grid, the last parameter fastest.

    Raises ConfigurationError that names the file, the rule, the parameter and what was expected.
    """
    document = read_yaml(path)
    grid = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(grid, dict) or not grid or set(document) != {"rules"}:
        raise ConfigurationError(f"{path}: expected `rules:` with the name of a rule under it")
    axes: list[tuple[str, str, list[Any]]] = []
    for name, parameters in grid.items():
        if name not in {rule.name for rule in rules.rules}:
            known = ", ".join(rule.name for rule in rules.rules)
            raise ConfigurationError(f"{path}: rules.{name}: is no rule of yours ({known})")
        if not isinstance(parameters, dict) or not parameters:
            raise ConfigurationError(f"{path}: rules.{name}: expected parameters with their values")
        for parameter, values in parameters.items():
            listed = values if isinstance(values, list) else [values]
            if not listed:
                raise ConfigurationError(f"{path}: rules.{name}.{parameter}: expected a list")
            axes.append((str(name), str(parameter), listed))
    size = math.prod(len(values) for _name, _parameter, values in axes)
    if size > LARGEST_SWEEP:
        raise ConfigurationError(
            f"{path}: the grid has {size} points, more than the {LARGEST_SWEEP} allowed"
        )
    return [
        _choice(number, list(zip(axes, values, strict=True)), rules, path)
        for number, values in enumerate(itertools.product(*(axis[2] for axis in axes)))
    ]


def _choice(
    number: int, chosen: Sequence[tuple[tuple[str, str, Any], Any]], rules: RuleSet, path: Path
) -> Choice:
    document = rules.to_document()
    parameters = {}
    for (name, parameter, _values), value in chosen:
        rule = next(rule for rule in document["rules"] if rule["name"] == name)
        try:
            change(rule, parameter, value)
        except ValueError as error:
            raise ConfigurationError(f"{path}: rules.{name}.{parameter}: {error}") from None
        parameters[f"{name}.{parameter}"] = value
    try:
        return Choice(number, parameters, RuleSet.model_validate(document))
    except ValidationError as error:
        told = ", ".join(f"{key}={value}" for key, value in parameters.items())
        raise ConfigurationError(f"{path}: {told}: {describe_findings(error)}") from None


def write_rules(path: Path, rules: RuleSet) -> None:
    """A rules file that `watch` and `replay` read. Raises InputFileError."""
    text = yaml.safe_dump(rules.to_document(), sort_keys=False, allow_unicode=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise InputFileError(
            f"{path}: cannot be written: {error.strerror}", hint="Name another folder with --out."
        ) from None
