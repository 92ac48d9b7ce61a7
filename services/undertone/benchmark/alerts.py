"""`undertone benchmark alerts`: our alerts and those of simple detectors, on one pass of a stream.

The pass is a replay's: the same sources, store and core.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from undertone.alerting.rules import RuleSet
from undertone.benchmark.series import Series, SeriesSink
from undertone.benchmark.simple_detectors import SIMPLE_DETECTORS, SimpleDetector
from undertone.benchmark.trials import (
    MOST_ALERTS_A_SUBJECT_MONTH,
    Judge,
    Trial,
    best,
    customary_trial,
    frontier,
    simple_trials,
    trial_of,
)
from undertone.replay.figures import within
from undertone.replay.mention_log import recall
from undertone.replay.result import ReplayResult
from undertone.replay.run import Pass, Sinks, replay, result_of
from undertone.replay.session import Watching
from undertone.replay.steps import Advance, Source, Span
from undertone.replay.store import Store
from undertone.replay.sweep import run_sweep
from undertone.replay.sweep_grid import Choice
from undertone.truth import TruthEvent
from undertone.watch.core import WatchConfig

OURS = "undertone"
# The thresholds of surprise of all rules are multiplied by each of these; 1 are the rules as given.
FACTORS = (0.25, 0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)
CHOSEN = (
    f"most events found at no more than {MOST_ALERTS_A_SUBJECT_MONTH} alerts a subject-month, "
    "then least median delay, on this stream"
)
GIVEN = "the rules as given"
CUSTOMARY = "customary: without events no setting can be chosen"


@dataclass(frozen=True)
class DetectorResult:
    """One detector: the setting that stands for it, how that was chosen, and its frontier.

    The figures of every setting that was tried stand in `trials`. `seconds` is what one setting
    takes for the stream; ours include the reading, and the scoring of what the store lacks.
    """

    name: str
    trial: Trial
    chosen: str
    trials: tuple[Trial, ...]
    seconds: float

    def as_json(self, messages: int, mentions: int, read: int) -> dict[str, Any]:
        """The fields of `replay --json`, and those of the benchmark."""
        shown = frontier(self.trials)
        return {
            "messages": messages,
            "mentions": mentions,
            **self.trial.as_json(),
            "messages_per_second": round(read / self.seconds, 1) if self.seconds else 0.0,
            "chosen": self.chosen,
            "settings_tried": len(self.trials),
            "frontier": [trial.as_json() for trial in shown],
        }


@dataclass(frozen=True)
class AlertsBenchmark:
    """All detectors on one stream, ours first. `ours` is what a replay gives; `read` counts every
    message of the stream."""

    ours: ReplayResult
    read: int
    detectors: tuple[DetectorResult, ...]

    def as_json(self) -> dict[str, Any]:
        """The fields of the stable command line, and more."""
        ours = self.ours
        detectors = {
            each.name: each.as_json(ours.messages, ours.mentions, self.read)
            for each in self.detectors
        }
        detectors[OURS]["sweep"] = [trial.as_json() for trial in self.detectors[0].trials]
        return {
            "stream": ours.source,
            "range": ours.range.as_json(),
            "messages": ours.messages,
            "mentions": ours.mentions,
            "subjects": len(ours.subjects),
            "models": dict(ours.models),
            "rules_version": ours.rules.version,
            "detectors": detectors,
            "notes": list(ours.notes),
        }


def benchmark_alerts(
    source: Source,
    store: Store,
    config: WatchConfig,
    events: Sequence[TruthEvent] | None,
    watching: Watching,
) -> AlertsBenchmark | None:
    """Play the stream once, and judge everyone by it; None where it was interrupted."""
    span, sink = Span(), SeriesSink()
    with recall(source, store, keep=True) as recalled:
        run = replay(
            recalled.source,
            config,
            span,
            Sinks(records=[sink]),
            log=recalled.writer,
            on_look=lambda advance, counts: watching.on_look("replay", advance, counts),
            is_stopped=watching.is_stopped,
        )
        if run.interrupted:
            return None
        recalled.finish(run.counts)
        swept = _sweep(run, store, recalled.log, config, watching)
    if watching.is_stopped():
        return None
    ours = result_of(run, span, config, source=source.name, events=events)
    covered = ours.range
    inside = None if events is None else within(events, covered.from_ms, covered.until_ms)
    judge = Judge(inside, len(config.subjects), covered.days)
    trials = [trial_of(setting, alerts, judge) for setting, alerts in swept]
    as_given = trial_of({"surprise_factor": 1.0}, run.alerts, judge)
    detectors = [DetectorResult(OURS, as_given, GIVEN, tuple(trials), run.seconds)]
    series = sink.series()
    for detector in SIMPLE_DETECTORS:
        detectors.append(simple_result(detector, series, judge))
        if watching.is_stopped():
            return None
    return AlertsBenchmark(ours, run.counts.read, tuple(detectors))


def simple_result(
    detector: SimpleDetector, series: Sequence[Series], judge: Judge
) -> DetectorResult:
    """A simple detector at its best setting of its grid; without events, at the customary one."""
    started = time.perf_counter()
    if judge.events is None:
        trials: tuple[Trial, ...] = ()
        trial, chosen = customary_trial(detector, series, judge), CUSTOMARY
    else:
        trials = tuple(simple_trials(detector, series, detector.settings(), judge))
        trial, chosen = best(trials), CHOSEN
    seconds = (time.perf_counter() - started) / max(len(trials), 1)
    return DetectorResult(detector.name, trial, chosen, trials, seconds)


def with_surprise(rules: RuleSet, factor: float) -> RuleSet:
    """The same rules, each threshold of surprise multiplied."""
    changed = []
    for rule in rules.rules:
        when = tuple(
            each
            if each.surprise is None
            else each.model_copy(update={"surprise": round(each.surprise * factor, 3)})
            for each in rule.when
        )
        steps = rule.severity
        if isinstance(steps, dict):
            steps = {severity: round(step * factor, 3) for severity, step in steps.items()}
        changed.append(rule.model_copy(update={"when": when, "severity": steps}))
    return rules.model_copy(update={"rules": tuple(changed)})


def _sweep(
    run: Pass, store: Store, log: int, config: WatchConfig, watching: Watching
) -> list[tuple[Mapping[str, Any], Sequence[Any]]]:
    """The alerts of our rules at each factor; just 1 where no rule has a threshold of surprise."""
    rules = config.rules
    choices = [
        Choice(number, {"surprise_factor": factor}, with_surprise(rules, factor))
        for number, factor in enumerate(FACTORS)
        if factor == 1.0 or with_surprise(rules, factor) != rules
    ]

    def on_look(share: float) -> None:
        watching.on_look("sweep", Advance(round(100 * share), 100), run.counts)

    on_look(0.0)
    found = run_sweep(
        choices,
        store.path,
        log,
        config,
        Span(),
        on_look=on_look,
        is_stopped=watching.is_stopped,
    )
    return [(each.parameters, found[each.number]) for each in choices if each.number in found]
