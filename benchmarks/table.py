"""Every benchmark in turn, and one table at the end: the ratio, its target, what came of it.

    python benchmarks/table.py [--quick] [NAME …]

With `--quick` only the scripts that know it are run, with fewer texts and rounds: to see that they
work, not for their figures. The last line on standard output, after the table, is one JSON object:
{script: what it printed}. The exit status is 1 where a script failed; a missed target is told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
TIMEOUT_SECONDS = 1800
NOT_HERE = ("table", "soak", "few_shot")  # soak is `make soak`; few_shot needs --data


class Target(NamedTuple):
    """What a figure is to reach, and what it says."""

    says: str
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        if self.least is not None:
            return f"≥ {self.least:g}"
        return "" if self.most is None else f"≤ {self.most:g}"

    def is_met(self, value: float) -> bool:
        """Whether a value is within the bounds there are."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


# The claims about scoring; these scripts know --quick. Other scripts' figures are shown bare.
TARGETS = {
    "naive": {
        "engine_per_naive": Target("engine ÷ transformers pipeline", least=4),
        "arithmetic_per_matmul": Target("engine's arithmetic ÷ int8 product of 1024³"),
    },
    "stream": {
        "stream_per_forward": Target("Kafka→Kafka ÷ bare forward passes", least=0.9),
        "stream_per_forward_cpu": Target("the same, by CPU time"),
        "real_per_processed_tokens": Target("real ÷ processed tokens", least=0.92),
    },
    "stages": {
        "pipeline_per_slowest_stage": Target("pipeline ÷ slowest stage alone", least=0.85),
        "stub_pipeline_per_slowest_stage": Target("the same with the stub engine"),
    },
    "beside_faust": {
        "stub_per_faust": Target("stub engine ÷ Faust agent", least=5),
        "stub_per_faust_cpu": Target("the same, by CPU time"),
    },
    "latency": {
        "p50_per_allowed": Target("p50 at 1% load ÷ (one forward + 20 ms)", most=1),
        "held_per_saturated": Target("load held at p99 ≤ 250 ms ÷ saturated", least=0.8),
    },
    "matching_and_cache": {
        "matched_and_cached_per_neither": Target("matching and cache ÷ neither"),
        "cached_per_uncached": Target("cache ÷ none"),
    },
    "memory": {"peak_megabytes": Target("peak memory of score, MB", most=900)},
    "workers": {
        "two_processes_per_one": Target("two scorers of one thread ÷ one of two"),
        "two_threads_per_one": Target("one scorer of two threads ÷ of one"),
    },
}


class Outcome(NamedTuple):
    """One script's end: its figures, or why there are none."""

    figures: dict[str, Any]
    error: str
    seconds: float


def run(name: str, *, quick: bool) -> Outcome:
    """Run one script; its log goes on to standard error."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *(["--quick"] if quick else [])]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome({}, f"not done in {TIMEOUT_SECONDS} s", TIMEOUT_SECONDS)
    took = time.monotonic() - began
    if done.returncode:
        return Outcome({}, f"ended with {done.returncode}", took)
    try:
        return Outcome(json.loads(done.stdout.splitlines()[-1]), "", took)
    except (ValueError, IndexError):
        return Outcome({}, "printed no JSON", took)


def table_of(outcomes: dict[str, Outcome]) -> Table:
    """One row a figure, those with a target first."""
    table = Table("script", "ratio", "says", "target", "value", "")
    for name, outcome in outcomes.items():
        if outcome.error:
            table.add_row(name, "", "", "", "", outcome.error)
        targets = TARGETS.get(name, {})
        for ratio, value in outcome.figures.items():
            if not isinstance(value, int | float):
                continue
            target = targets.get(ratio, Target(""))
            bounded = str(target) != ""
            verdict = "" if not bounded else "met" if target.is_met(value) else "missed"
            table.add_row(name, ratio, target.says, str(target), f"{value:g}", verdict)
    return table


def main() -> None:
    """Run, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="these scripts alone")
    parser.add_argument("--quick", action="store_true", help="fewer texts and rounds")
    arguments = parser.parse_args()
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NOT_HERE)
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    names = arguments.names or [*TARGETS, *(name for name in known if name not in TARGETS)]
    if arguments.quick:
        names = [name for name in names if name in TARGETS]
    err = Console(stderr=True)
    outcomes = {}
    for name in names:
        err.print(f"{name} …")
        outcomes[name] = done = run(name, quick=arguments.quick)
        err.print(f"{name}: {done.seconds:.0f} s {done.error or json.dumps(done.figures)}")
    Console(width=None if sys.stdout.isatty() else 140).print(table_of(outcomes))
    print(json.dumps({name: outcome.figures for name, outcome in outcomes.items()}))
    sys.exit(any(outcome.error for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
