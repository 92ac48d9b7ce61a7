"""The tables of `undertone evaluate --robustness`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from undertone_models.robustness import RobustnessReport


def print_robustness(console: Console, report: RobustnessReport) -> None:
    """The figures for a person: names swapped, texts changed, expectations, the worst failures."""
    console.print(_substitution(report))
    if report.perturbation:
        console.print(_perturbation(report))
    console.print(_expectations(report))
    if report.worst:
        console.print(_worst(report))


def _substitution(report: RobustnessReport) -> Table:
    table = Table(
        "other names", "sentences", "|change|", "flips", "largest gap", "95% interval", "by chance",
        "between", title="Fairness: the score is p_positive − p_negative",
    )  # fmt: skip
    for name, figures in report.substitution.items():
        lower, upper = figures.gap_interval
        table.add_row(
            escape(name),
            f"{figures.n:,}",
            f"{figures.mean_absolute_change:.3f}",
            f"{figures.flip_rate:.1%}",
            f"{figures.gap:.3f}",
            f"{lower:.3f} to {upper:.3f}",
            f"{figures.gap_by_chance:.3f}",
            escape(" > ".join(figures.extremes)),
        )
    return table


def _perturbation(report: RobustnessReport) -> Table:
    table = Table(
        "change", "rows", "accuracy before", "after", "flips",
        title="Robustness: changes that leave the label",
    )  # fmt: skip
    for name, figures in report.perturbation.items():
        table.add_row(
            escape(name),
            f"{figures.n:,}",
            f"{figures.accuracy_before:.3f}",
            f"{figures.accuracy_after:.3f}",
            f"{figures.flip_rate:.1%}",
        )
    return table


def _expectations(report: RobustnessReport) -> Table:
    table = Table("capability", "passed", "of", "rate", title="Expectations")
    for name, figures in report.expectations.items():
        table.add_row(escape(name), f"{figures.passed}", f"{figures.n}", f"{figures.pass_rate:.0%}")
    return table


def _worst(report: RobustnessReport) -> Table:
    table = Table("capability", "text", "target", "expected", "answer", title="The worst failures")
    for failure in report.worst:
        table.add_row(
            escape(failure.capability),
            escape(failure.text),
            escape(failure.target or "–"),
            escape(failure.expected),
            f"{failure.label} {failure.probability:.2f}",
        )
    return table
