"""The figures of `undertone evaluate`, as tables for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from undertone_models.comparison import Comparison, FigureDifference, GroupComparison
    from undertone_models.evaluation import Evaluation, Figures

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_recall": "macro recall",
    "ece": "ECE",
}
ALL_ROWS = "all"


def print_evaluation(console: Console, name: str, result: Evaluation) -> None:
    """Figures by source and by label, and the confusion matrix."""
    console.print(
        f"{name}: {result.n:,} rows, {result.messages_per_second:,.0f} a second",
        markup=False,
        highlight=False,
    )
    console.print(_sources(result))
    console.print(
        "± is half of a 95% bootstrap interval. ECE is the expected calibration error; chance is"
        " what it would be on as many rows if every probability were true.",
        style="dim",
        highlight=False,
    )
    console.print(_classes(result))
    console.print(_confusion(result))


def print_comparison(console: Console, a: str, b: str, comparison: Comparison) -> None:
    """The difference of each figure, and in words what the test of accuracy says."""
    console.print(f"A is {a}\nB is {b}", markup=False, highlight=False)
    table = Table("A − B", *[_right(title) for title in TITLES.values()])
    groups = [*comparison.per_source.items(), (ALL_ROWS, comparison)]
    for source, group in groups:
        table.add_row(source, *[_difference(group.figures[figure]) for figure in TITLES])
    console.print(table)
    console.print(
        "In brackets 95% intervals, by a bootstrap of the rows that both have read; of ECE less is"
        " better. p is that of McNemar's exact test of equal accuracy.",
        style="dim",
        highlight=False,
    )
    for source, group in groups:
        console.print(f"{source}: {_verdict(group)}", markup=False, highlight=False)


def _sources(result: Evaluation) -> Table:
    table = Table("source", *[_right(title) for title in ("rows", *TITLES.values(), "chance")])
    for source, figures in [*result.per_source.items(), (ALL_ROWS, result)]:
        table.add_row(
            source,
            f"{figures.n:,}",
            *[_with_interval(figures, figure) for figure in TITLES],
            f"{figures.ece_if_calibrated:.3f}",
        )
    return table


def _classes(result: Evaluation) -> Table:
    table = Table(
        "label", *[_right(title) for title in ("rows", "precision", "recall", "F1", "ECE")]
    )
    for label, figures in result.per_class.items():
        table.add_row(
            label,
            f"{figures.n:,}",
            f"{figures.precision:.3f}",
            f"{figures.recall:.3f}",
            f"{figures.f1:.3f}",
            f"{figures.ece:.3f}",
        )
    return table


def _confusion(result: Evaluation) -> Table:
    table = Table("true label ↓  answer →", *[_right(label) for label in result.confusion])
    for label, counts in result.confusion.items():
        total = max(1, sum(counts.values()))
        table.add_row(label, *[f"{count:,} ({count / total:.1%})" for count in counts.values()])
    return table


def _with_interval(figures: Figures, name: str) -> str:
    value = f"{getattr(figures, name):.3f}"
    if name not in figures.confidence_intervals:
        return value
    low, high = figures.confidence_intervals[name]
    return f"{value} ±{(high - low) / 2:.3f}"


def _difference(figure: FigureDifference) -> str:
    value = f"{figure.a:.3f} − {figure.b:.3f}\n{figure.difference:+.3f}"
    if figure.confidence_interval is None:
        return value
    low, high = figure.confidence_interval
    return f"{value}\n[{low:+.3f}, {high:+.3f}]"


def _verdict(group: GroupComparison) -> str:
    return (
        f"{group.verdict} ({group.n:,} rows; only A right on {group.only_a_right:,},"
        f" only B on {group.only_b_right:,})"
    )


def _right(title: str) -> Column:
    return Column(title, justify="right")
