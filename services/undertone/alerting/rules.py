"""Rules: when to tell somebody. Read from `rules.yaml`, validated field by field."""

from __future__ import annotations

import hashlib
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from undertone.alerting.changes import Override, change
from undertone.alerting.quiet_hours import QuietHours
from undertone.alerting.severity_steps import HIGHEST_SURPRISE, read_severity
from undertone.config_files import ConfigSection, Place, describe_findings, dotted, read_yaml
from undertone.durations import DurationMs, format_duration
from undertone.errors import ConfigurationError
from undertone.records import Kind, Severity
from undertone.settings import PANE_MS

Signal = Literal["negative_volume", "volume", "negative_share", "mean_score"]
# A count can only grow while its pane is open, so rules on these may fire at any mention.
COUNT_SIGNALS = frozenset({"negative_volume", "volume"})
RISE_BY = 1.0


class When(ConfigSection):
    """One condition: a signal over a window, against its baseline or a fixed level.

    Exactly one of `surprise` (at least this many powers of ten out of the usual), `above` and
    `below` (the observed value itself).
    """

    signal: Signal
    """`negative_volume` (stories most likely negative), `volume` (all stories), `negative_share`
    (of the scored stories), `mean_score` (of the scored stories, −1 … 1)
    """
    window: DurationMs
    """a sliding window, a multiple of `10s`"""
    surprise: float | None = Field(default=None, gt=0, le=HIGHEST_SURPRISE)
    """at least this surprise against the subject's own baseline, in powers of ten (4: by its
    baseline, one such window in 10,000). A low `mean_score` is what surprises, and a high value
    of the others. Exactly one of this, `above` and `below`
    """
    above: float | None = None
    """the observed value is more than this"""
    below: float | None = None
    """the observed value is less than this"""

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


class Resolve(ConfigSection):
    """An alert ends when every condition has been quiet for this long.

    Quiet is a surprise below `surprise_below`; for a fixed level, a value that has left it.
    """

    surprise_below: float = Field(default=1.5, gt=0, le=HIGHEST_SURPRISE)
    """a condition is quiet below this surprise; with `above` or `below`, where the value has left
    the level
    """
    hold: DurationMs = Field(default=3_600_000, alias="for")
    """it ends when each of its conditions has been quiet this long"""


class Rule(ConfigSection):
    """One rule. It fires when all conditions hold together for `hold`."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    """`a-z`, `0-9`, hyphens; unique; part of the alert's identity"""
    enabled: bool = True
    """`false` switches it off"""
    severity: Annotated[Severity | dict[Severity, float], BeforeValidator(read_severity)] = (
        Severity.WARNING
    )
    """what it fires with: `info`, `warning`, `critical`; or steps, `{info: 2, warning: 3,
    critical: 4}`: the highest that its strongest surprise reaches. Below the first step it does
    not fire; it rises as further steps are reached, and never falls while it fires
    """
    when: tuple[When, ...] = Field(min_length=1, max_length=5)
    """one to five conditions, which must hold together"""
    min_stories: int = Field(default=3, ge=1)
    """needed in the window of every condition; for `negative_volume` the *negative* stories are
    counted
    """
    min_sources: int = Field(default=1, ge=1)
    """different voices in the longest window that told what counts: something negative, or
    anything where all conditions are on `volume`. An author at a source is a voice, else the
    source is; a copy under another name is no story, but a voice. From 2 on, the loudest voice
    counts for no more than all others together, so that a flood among usual chatter fires
    nothing
    """
    hold: DurationMs = 0
    """conditions and minimums must hold this long before it fires"""
    cooldown: DurationMs = 3_600_000
    """after it has ended, silent for this subject this long"""
    resolve: Resolve = Resolve()
    """when it ends"""
    rise_by: float | None = Field(default=None, gt=0, le=HIGHEST_SURPRISE)
    """while it fires and all conditions hold, the severity rises one step, up to critical, each
    time the strongest surprise is this much above the last one told; none: 1. Not with steps of
    `severity`
    """
    quiet_hours: QuietHours | None = None
    """spans in which less is told"""
    subjects: tuple[str, ...] | None = Field(default=None, min_length=1)
    """ids; none: every subject"""
    kinds: tuple[Kind, ...] | None = Field(default=None, min_length=1)
    """counts and baselines of these kinds alone; none: all together"""
    overrides: tuple[Override, ...] = ()
    """list of `{subjects: [...], FIELD: value, …}`: the rule as it is for these subjects. Any
    field but `name`; `surprise`, `above`, `below` and `window` of the one condition that has
    it, `SIGNAL.surprise` of several; `resolve.FIELD`, `quiet_hours.FIELD`, `severity.STEP`;
    `null` for the default
    """
    _variants: tuple[Rule, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _rises_by_one_means(self) -> Self:
        if isinstance(self.severity, dict) and self.rise_by is not None:
            raise ValueError(
                "rise_by: goes with one severity; with steps of severity leave it out, as the "
                "steps say when it rises"
            )
        return self

    @model_validator(mode="after")
    def _overrides_make_rules(self) -> Self:
        known: set[str] = set()
        for number, override in enumerate(self.overrides):
            place = f"overrides.{number}: subjects"
            for subject in override.subjects:
                if subject in known:
                    raise ValueError(f"{place}: {subject} stands in two overrides")
                if not self.applies_to(subject):
                    raise ValueError(f"{place}: {subject} is not one of the rule's own")
                known.add(subject)
        self._variants = tuple(
            self._with(override, f"overrides.{number}")
            for number, override in enumerate(self.overrides)
        )
        return self

    def _with(self, override: Override, place: str) -> Rule:
        """The rule with the changes of an override, which must make a rule."""
        document = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"overrides"}
        )
        for field, value in override.changes.items():
            try:
                change(document, field, value)
            except ValueError as error:
                raise ValueError(f"{place}: {field}: {error}") from None
        try:
            return Rule.model_validate(document)
        except ValidationError as error:
            raise ValueError(f"{place}: {describe_findings(error)}") from None

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

    @property
    def rises_by(self) -> float:
        """How far the surprise must grow for a rise, where the rule has no steps of severity."""
        return RISE_BY if self.rise_by is None else self.rise_by

    def severity_at(self, surprise: float) -> Severity | None:
        """The severity to fire with; None where the surprise reaches no step of it."""
        if not isinstance(self.severity, dict):
            return self.severity
        reached = [step for step, least in self.severity.items() if surprise >= least]
        return reached[-1] if reached else None

    def silent_until_ms(self, severity: Severity, now_ms: int) -> int | None:
        """When to ask again, where quiet hours forbid to fire or rise at `now_ms`; else None."""
        quiet = self.quiet_hours
        if quiet is None or severity.rank >= quiet.below.rank:
            return None
        return quiet.until_ms(now_ms)

    def applies_to(self, subject: str) -> bool:
        """Whether the rule is about this subject."""
        return self.subjects is None or subject in self.subjects

    @property
    def variants(self) -> tuple[Rule, ...]:
        """The rule as each override makes it, in their order."""
        return self._variants

    def renamed(self, name: str) -> Rule:
        """The same rule under another name, for all subjects."""
        renamed = self.model_copy(update={"name": name})
        renamed._variants = tuple(variant.renamed(name) for variant in self._variants)
        return renamed

    def for_subject(self, subject: str) -> Rule | None:
        """The rule as it holds for a subject; None where it does not watch it."""
        rule = self
        for override, variant in zip(self.overrides, self.variants, strict=True):
            if subject in override.subjects:
                rule = variant
        return rule if rule.enabled and rule.applies_to(subject) else None


def _unique(rules: object) -> object:
    if isinstance(rules, list):
        names = [rule.get("name") for rule in rules if isinstance(rule, dict)]
        for name in names:
            if name is not None and names.count(name) > 1:
                raise ValueError(f"the name {name!r} is used more than once")
    return rules


class RuleSet(ConfigSection):
    """All rules, and a version made from their content."""

    rules: Annotated[tuple[Rule, ...], BeforeValidator(_unique)] = Field(min_length=1)
    """the list; the file may also be the bare list"""

    @property
    def version(self) -> str:
        """Twelve hex digits that change when any rule changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def to_document(self) -> dict[str, Any]:
        """What a rules file holds: the fields that were written, nulls of overrides included."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    @property
    def windows_ms(self) -> tuple[int, ...]:
        """Every window that some rule needs, for some subject, ascending."""
        rules = [variant for rule in self.rules for variant in (rule, *rule.variants)]
        return tuple(sorted({part.window for rule in rules for part in rule.when}))

    def for_subject(self, subject: str) -> tuple[Rule, ...]:
        """The rules that watch a subject, each as it holds for it."""
        found = (rule.for_subject(subject) for rule in self.rules)
        return tuple(rule for rule in found if rule is not None)


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
        named = partial(_where, document.get("rules"))
        raise ConfigurationError(f"{where}: {describe_findings(error, named)}") from None


def _where(rules: object, place: Place) -> str:
    """`rules.0.hold (surge)`: the place, and the name of the rule that stands there if any."""
    if len(place) < 2 or place[0] != "rules" or not isinstance(rules, list):
        return dotted(place)
    entry = rules[int(place[1])]
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"{dotted(place)} ({name})" if name else dotted(place)
