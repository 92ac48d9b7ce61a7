"""How the report says what rules ask and what a sweep varies; the rest is in pages.wording."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from undertone.alerting.rules import Rule
from undertone.durations import format_duration
from undertone.pages import wording
from undertone.pages.wording import number, signal


def rule_conditions(rule: Rule) -> str:
    """A rule's conditions in words."""
    parts = []
    for when in rule.when:
        where = f"{signal(when.signal)} in {format_duration(when.window)}"
        if when.surprise is not None:
            parts.append(f"surprise of {where} ≥ {number(when.surprise)}")
        elif when.above is not None:
            parts.append(f"{where} above {number(when.above)}")
        elif when.below is not None:
            parts.append(f"{where} below {number(when.below)}")
    return " and ".join(parts)


def parameters(values: Mapping[str, object]) -> str:
    """A sweep point's name: what distinguishes it."""
    return ", ".join(f"{name} = {value}" for name, value in values.items())


FILTERS: dict[str, Callable[..., str | None]] = wording.FILTERS | {
    "parameters": parameters,
    "rule_conditions": rule_conditions,
}
