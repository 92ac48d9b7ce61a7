"""The tables of robustness figures show every name, whatever it holds."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from undertone.cli.robustness_tables import print_robustness
from undertone_models.classifier import StubClassifier
from undertone_models.labelled import LabelledRow
from undertone_models.robustness import RobustnessReport, assess

ROW = LabelledRow("Infosys shares plunge", "Infosys", 0, "sentfin", None)


def printed(report: RobustnessReport) -> str:
    console = Console(width=300)
    with console.capture() as capture:
        print_robustness(console, report)
    return capture.get()


def test_every_figure_has_its_row() -> None:
    report = assess(StubClassifier(), [ROW])
    output = printed(report)
    for name in (*report.substitution, *report.perturbation, *report.expectations):
        assert name in output
    for failure in report.worst:
        assert failure.expected in output


def test_without_rows_the_table_of_changes_is_left_out() -> None:
    assert "accuracy before" not in printed(assess(StubClassifier(), []))


def test_a_failures_text_in_brackets_is_printed_as_it_is() -> None:
    report = assess(StubClassifier(), [])
    worst = [replace(report.worst[0], text="[/bold] plunge")]
    assert "[/bold] plunge" in printed(replace(report, worst=worst))
