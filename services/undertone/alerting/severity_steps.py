"""Severity by surprise: steps such as {warning: 4, critical: 8}."""

from __future__ import annotations

from collections.abc import Mapping

from undertone.records import Severity

HIGHEST_SURPRISE = 50.0


def read_severity(value: object) -> Severity | dict[Severity, float]:
    """A severity, or steps in ascending order: severity → the surprise that reaches it."""
    if not isinstance(value, Mapping):
        if value in tuple(Severity):
            return Severity(str(value))
        raise ValueError(
            "expected info, warning or critical, or steps by surprise such as "
            "{warning: 4, critical: 8}"
        )
    if unknown := [name for name in value if name not in tuple(Severity)]:
        raise ValueError(f"unknown severity `{unknown[0]}`; expected info, warning or critical")
    if not value:
        raise ValueError("expected at least one step, such as {warning: 4}")
    steps = {severity: value[severity] for severity in Severity if severity in value}
    reached_before = 0.0
    for severity, surprise in steps.items():
        if isinstance(surprise, bool) or not isinstance(surprise, int | float):
            raise ValueError(f"{severity}: expected the surprise that reaches it, a number")
        if not reached_before < surprise <= HIGHEST_SURPRISE:
            raise ValueError(
                f"{severity}: expected a surprise above {reached_before:g} (the step before) and "
                f"up to {HIGHEST_SURPRISE:g}, not {surprise:g}"
            )
        reached_before = surprise
    return steps
