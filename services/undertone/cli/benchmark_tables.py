"""What `undertone benchmark` shows to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from undertone.records import format_instant

if TYPE_CHECKING:
    from undertone.benchmark.alerts import AlertsBenchmark
    from undertone.benchmark.nab import NabBenchmark
    from undertone.benchmark.trials import Trial

NUMBERS = ("found", "median min", "worst min", "alerts/month", "precision", "alerts/event")


def print_alerts(result: AlertsBenchmark) -> None:
    """A row a detector, how its setting was chosen, and our frontier."""
    console = Console()
    ours = result.ours
    console.print(
        f"{ours.source}: {ours.messages:,} messages, {ours.mentions:,} mentions, "
        f"{len(ours.subjects)} subjects, {format_instant(ours.range.from_ms)} to "
        f"{format_instant(ours.range.until_ms)}"
    )
    table = _table("detector")
    for each in result.detectors:
        table.add_row(each.name, *_numbers(each.trial))
    console.print(table)
    console.print("alerts/month: a subject and month, rises in severity included", style="dim")
    for each in result.detectors:
        setting = ", ".join(f"{name} {value:g}" for name, value in each.trial.setting.items())
        console.print(f"{each.name}: {setting} ({each.chosen})")
    if len(result.detectors[0].trials) > 1:
        console.print("\nundertone, all thresholds of surprise multiplied by")
        swept = _table("factor")
        for trial in result.detectors[0].trials:
            swept.add_row(f"{trial.setting['surprise_factor']:g}", *_numbers(trial))
        console.print(swept)
    for note in ours.notes:
        console.print(f"note: {note}", style="dim")


def print_nab(result: NabBenchmark) -> None:
    """A row a series, and the score of all."""
    console = Console()
    table = Table("series", "score", "found", "windows", "false rows", box=None, pad_edge=False)
    for name, score in result.per_file.items():
        numbers = (score.found, score.windows, score.false_detections)
        table.add_row(name, f"{score.score:.1f}", *(str(number) for number in numbers))
    console.print(table)
    console.print(f"score {result.score:.1f} (standard profile, threshold {result.threshold:g})")


def _table(first: str) -> Table:
    table = Table(first, box=None, pad_edge=False)
    for name in NUMBERS:
        table.add_column(name, justify="right")
    return table


def _numbers(trial: Trial) -> list[str]:
    figures = trial.figures
    events = figures.events
    found = "–" if events is None else f"{events.found} of {events.total}"
    return [
        found,
        *(
            "–" if value is None else format(value, form)
            for value, form in (
                (None if events is None else events.median_delay_minutes, ",.0f"),
                (None if events is None else events.worst_delay_minutes, ",.0f"),
                (figures.alerts_per_subject_month, ".2f"),
                (figures.precision, ".1%"),
                (figures.alerts_per_event, ".2f"),
            )
        ),
    ]
