"""What a rule does, in plain words: for `undertone rules explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from undertone.alerting.rules import COUNT_SIGNALS, Rule, When
from undertone.durations import format_duration
from undertone.records import Severity

_SIGNALS = {
    "negative_volume": "the number of negative stories",
    "volume": "the number of stories",
    "negative_share": "the share of negative stories",
    "mean_score": "the mean score",
}
_UNITS = (
    (365.25 * 86_400_000, "year"),
    (30.44 * 86_400_000, "month"),
    (86_400_000, "day"),
    (3_600_000, "hour"),
)


def explain_rule(rule: Rule) -> tuple[str, ...]:
    """Sentences that say what a rule watches, when it fires, rises and ends, and for whom not."""
    said = [_subjects(rule), *_conditions(rule), _needs(rule), _firing(rule), *_severity(rule)]
    said += [_ending(rule), _cooldown(rule), *_quiet_hours(rule)]
    for override in rule.overrides:
        changes = ", ".join(f"{name} {_plain(value)}" for name, value in override.changes.items())
        said.append(f"For {_list(override.subjects)} instead: {changes}.")
    return tuple(said)


def _subjects(rule: Rule) -> str:
    if not rule.enabled:
        switched_on = any(variant.enabled for variant in rule.variants)
        only = " but for subjects that an override below switches on" if switched_on else ""
        return f"Is switched off (enabled: false){only}."
    whom = "every subject" if rule.subjects is None else _list(rule.subjects)
    kinds = "" if rule.kinds is None else f", in {_list(rule.kinds)} alone"
    return f"Watches {whom}{kinds}."


def _conditions(rule: Rule) -> list[str]:
    if len(rule.when) == 1:
        return [f"Holds when {_condition(rule.when[0])}."]
    parts = "; ".join(f"({n}) {_condition(when)}" for n, when in enumerate(rule.when, 1))
    return [f"Holds when all of these do: {parts}."]


def _condition(when: When) -> str:
    window = format_duration(when.window)
    what = f"{_SIGNALS[when.signal]} in {window}"
    if when.above is not None:
        return f"{what} is above {when.above:g}"
    if when.below is not None:
        return f"{what} is below {when.below:g}"
    assert when.surprise is not None
    extreme = "low" if when.signal == "mean_score" else "high"
    return (
        f"{what} is as {extreme} as in 1 of {odds(when.surprise)} usual windows of the subject "
        f"(surprise {when.surprise:g}; {_how_often(when)})"
    )


def odds(surprise: float) -> str:
    """How many usual windows there are to one as surprising: 4 → `10,000`, 1.5 → `32`."""
    chance = 10.0**surprise
    for scale, name in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if chance >= scale * (1 - 1e-9):
            return f"{float(f'{chance / scale:.2g}'):,g}{name}"
    return f"{float(f'{chance:.2g}'):,.10g}"


def _how_often(when: When) -> str:
    """How often a window of this length is as surprising, were windows independent."""
    assert when.surprise is not None
    span_ms = 10.0**when.surprise * when.window
    if span_ms >= 100 * _UNITS[0][0]:
        return "less than once in a hundred years"
    for unit_ms, name in _UNITS:
        if span_ms >= 1.95 * unit_ms:
            return f"about once in {float(f'{span_ms / unit_ms:.2g}'):g} {name}s"
    return f"about once in {max(1, round(span_ms / 60_000))} minutes"


def _needs(rule: Rule) -> str:
    negative = {when.signal == "negative_volume" for when in rule.when}
    stories = "negative stories" if negative == {True} else "stories"
    windows = "the window" if len(rule.when) == 1 else "the window of each"
    text = f"Needs {rule.min_stories} {stories} in {windows} (copies of a story count once"
    if len(negative) == 2:
        text += "; where their number is what counts, negative ones"
    if rule.min_sources == 1:
        return f"{text})."
    return (
        f"{text}), told by {rule.min_sources} independent voices; the loudest voice counts for no "
        "more than all others together."
    )


def _firing(rule: Rule) -> str:
    if rule.hold:
        return f"Fires when all this has held for {format_duration(rule.hold)}."
    if all(when.signal in COUNT_SIGNALS for when in rule.when):
        return "Fires at once, with the message that tips it."
    return "Fires at the end of the ten seconds in which it holds."


def _severity(rule: Rule) -> list[str]:
    if isinstance(rule.severity, dict):
        steps = ", ".join(f"{step} from {least:g}" for step, least in rule.severity.items())
        return [
            f"Its severity follows the strongest surprise: {steps}; it rises with it and does not "
            "fall while the alert lasts."
        ]
    if rule.severity is Severity.CRITICAL:
        return ["Its severity is critical."]
    return [
        f"Its severity is {rule.severity} and rises one step, up to critical, each time the "
        f"strongest surprise is {rule.rises_by:g} above the last one told "
        f"({odds(rule.rises_by)} times rarer)."
    ]


def _ending(rule: Rule) -> str:
    levels = [when for when in rule.when if when.surprise is None]
    quiet = []
    if len(levels) < len(rule.when):
        below = rule.resolve.surprise_below
        what = "every surprise has" if len(rule.when) - len(levels) > 1 else "its surprise has"
        quiet.append(f"{what} stayed below {below:g} (1 usual window in {odds(below)})")
    if levels:
        quiet.append("what is above or below a level has left it")
    return f"Ends when {' and '.join(quiet)} for {format_duration(rule.resolve.hold)}."


def _cooldown(rule: Rule) -> str:
    if not rule.cooldown:
        return "May fire again at once."
    return f"Is silent about the subject for {format_duration(rule.cooldown)} after that."


def _quiet_hours(rule: Rule) -> list[str]:
    quiet = rule.quiet_hours
    if quiet is None:
        return []
    return [
        f"In quiet hours ({_list(quiet.at)}, {quiet.zone}) nothing below {quiet.below} fires or "
        "rises; what still holds when they end is told then, and an alert's end is always told."
    ]


def _plain(value: Any) -> str:
    """A value as it may stand in the rules file, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _list(names: Sequence[object]) -> str:
    return ", ".join(map(str, names))
