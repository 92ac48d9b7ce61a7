"""One field of a rule's document set by name: what overrides and sweeps have in common."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CONDITION_FIELDS = ("surprise", "above", "below", "window")
PARTS = ("resolve", "quiet_hours", "severity")
_NAMES = (
    "name a field of the rule, surprise, above, below or window of its condition, "
    "SIGNAL.surprise where several have one, resolve.FIELD, quiet_hours.FIELD or severity.STEP"
)


def change(rule: dict[str, Any], field: str, value: Any) -> None:
    """Set one field of a rule's document, in place; whether it then is a rule is not checked.

    `field` is a field of the rule; `surprise`, `above`, `below` or `window` of the one condition
    that has it; SIGNAL.surprise (and so on) of several; or FIELD of a part: resolve.FIELD.
    Raises ValueError where the rule has no such place, or several.
    """
    head, _, tail = field.partition(".")
    if head in PARTS and tail:
        part = rule.get(head, {} if head == "resolve" else None)
        if not isinstance(part, dict):
            raise ValueError(f"this rule has no {head} with fields; write the whole of `{head}`")
        rule[head] = part | {tail: value}
        return
    if not tail and head not in CONDITION_FIELDS:
        rule[head] = value
        return
    name = tail or head
    conditions = [
        condition
        for condition in rule["when"]
        if name in condition and (not tail or condition["signal"] == head)
    ]
    if name not in CONDITION_FIELDS or not conditions:
        raise ValueError(f"is no parameter of this rule; {_NAMES}")
    if len(conditions) > 1:
        signals = ", ".join(f"{condition['signal']}.{name}" for condition in conditions)
        raise ValueError(f"several conditions have it; name one of {signals}")
    conditions[0][name] = value


class Override(BaseModel):
    """Fields of a rule that are others for some subjects; which, `changes` tells."""

    model_config = ConfigDict(frozen=True, extra="allow")

    subjects: tuple[str, ...] = Field(min_length=1)

    @property
    def changes(self) -> dict[str, Any]:
        """Field → value, as they were written."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.changes:
            raise ValueError("expected a field of the rule besides `subjects`, such as surprise: 5")
        for name in ("name", "overrides"):
            if name in self.changes:
                raise ValueError(f"{name}: cannot be another for some subjects; write a rule")
        return self
