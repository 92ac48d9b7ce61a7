"""Rules: when to tell somebody. Read from `rules.yaml`, validated field by field."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from undertone.config_files import read_yaml
from undertone.durations import DurationMs, format_duration
from undertone.errors import ConfigurationError
from undertone.records import Kind, Severity, describe_validation
from undertone.settings import PANE_MS

Signal = Literal["negative_volume", "volume", "negative_share", "mean_score"]
# A count can only grow while its pane is open, so rules on these may fire at any mention.
COUNT_SIGNALS = frozenset({"negative_volume", "volume"})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class When(_Part):
    """One condition: a signal over a window, against its baseline or a fixed level.

    Exactly one of `surprise` (at least this many powers of ten out of the usual), `above` and
    `below` (the observed value itself).
    """

    signal: Signal
    window: DurationMs
    surprise: float | None = Field(default=None, gt=0, le=50)
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if sum(level is not None for level in (self.surprise, self.above, self.below)) != 1:
            raise ValueError("expected exactly one of surprise, above, below")
        if self.window < PANE_MS or self.window % PANE_MS:
            raise ValueError(f"window: expected a multiple of {format_duration(PANE_MS)}")
        return self

    def holds(self, observed: float | None, surprise: float) -> bool:
        """Whether the condition holds for a window's value; an empty window holds nothing."""
        if observed is None:
            return False
        if self.surprise is not None:
            return surprise >= self.surprise
        if self.above is not None:
            return observed > self.above
        return self.below is not None and observed < self.below


class Resolve(_Part):
    """An alert ends when every condition has been quiet for this long.

    Quiet is a surprise below `surprise_below`; for a fixed level, a value that has left it.
    """

    surprise_below: float = Field(default=1.5, gt=0, le=50)
    hold: DurationMs = Field(default=3_600_000, alias="for")


class Rule(_Part):
    """One rule. It fires when all conditions hold together for `hold`."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    severity: Severity = Severity.WARNING
    when: tuple[When, ...] = Field(min_length=1, max_length=5)
    min_stories: int = Field(default=3, ge=1)
    min_sources: int = Field(default=1, ge=1)
    hold: DurationMs = 0
    cooldown: DurationMs = 3_600_000
    resolve: Resolve = Resolve()
    rise_by: float = Field(default=3.0, gt=0, le=50)
    subjects: tuple[str, ...] | None = Field(default=None, min_length=1)
    kinds: tuple[Kind, ...] | None = Field(default=None, min_length=1)

    @property
    def decides_at_mentions(self) -> bool:
        """Whether the rule may fire at a mention; else it waits for the end of a pane."""
        return all(condition.signal in COUNT_SIGNALS for condition in self.when)

    @property
    def watches_negative(self) -> bool:
        """Whether the tipping message must be a negative one."""
        return any(condition.signal != "volume" for condition in self.when)

    @property
    def longest_window_ms(self) -> int:
        """The longest window of its conditions."""
        return max(condition.window for condition in self.when)

    def applies_to(self, subject: str) -> bool:
        """Whether the rule watches this subject."""
        return self.subjects is None or subject in self.subjects


def _unique(rules: object) -> object:
    if isinstance(rules, list):
        names = [rule.get("name") for rule in rules if isinstance(rule, dict)]
        for name in names:
            if name is not None and names.count(name) > 1:
                raise ValueError(f"the name {name!r} is used more than once")
    return rules


class RuleSet(_Part):
    """All rules, and a version made from their content."""

    rules: Annotated[tuple[Rule, ...], BeforeValidator(_unique)] = Field(min_length=1)

    @property
    def version(self) -> str:
        """Twelve hex digits that change when any rule changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    @property
    def windows_ms(self) -> tuple[int, ...]:
        """Every window that some rule needs, ascending."""
        return tuple(sorted({part.window for rule in self.rules for part in rule.when}))


def load_rules(path: Path | None = None) -> RuleSet:
    """Read a rules file; without one, the rules that come with undertone.

    Raises ConfigurationError that names the file, the rule, the field and what was expected.
    """
    document: Any
    if path is None:
        shipped = resources.files("undertone.alerting") / "default_rules.yaml"
        document, where = yaml.safe_load(shipped.read_text()), "the default rules"
    else:
        document, where = read_yaml(path), str(path)
    if isinstance(document, list):
        document = {"rules": document}
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where}: expected a list of rules under `rules:`")
    try:
        return RuleSet.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {describe_validation(error)}") from None
