"""`undertone evaluate`: how good a checkpoint is on labelled rows, alone or beside another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from undertone.cli.model_errors import model_errors
from undertone.cli.options import EngineName, JsonOption
from undertone.errors import UsageError

if TYPE_CHECKING:
    from undertone_models.classifier import SentimentClassifier
    from undertone_models.comparison import Comparison
    from undertone_models.evaluation import Evaluation
    from undertone_models.labelled import LabelledRow
    from undertone_models.pairs import FloatArray
    from undertone_models.robustness import RobustnessReport

BUNDLED = "bundled"

err = Console(stderr=True)


@dataclass(frozen=True)
class Measured:
    """One classifier's probabilities of the rows, (n, 3), and its figures."""

    name: str
    engine: EngineName
    probabilities: FloatArray
    figures: Evaluation

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {"model": self.name, "engine": self.engine.value, **self.figures.as_dict()}


def command(
    *,
    data: Annotated[
        list[Path],
        typer.Option("--data", help="JSON lines or CSV with text, label, target?, source?, split?"),
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint (default: the bundled one).")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="What runs the model.")] = EngineName.AUTO,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Rows of this split (default: validation, if rows have one)."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", help=f"Another checkpoint (or {BUNDLED}) for the same rows."),
    ] = None,
    compare_engine: Annotated[
        EngineName | None,
        typer.Option(help="What runs that other one; alone: runs the same checkpoint again."),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also swap names, negate, misspell, truncate.")
    ] = False,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", help="Write confusion.png and reliability.png into this folder."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a checkpoint on labelled rows: accuracy, macro F1, macro recall, calibration."""
    from undertone_models.classifier import load_classifier
    from undertone_models.comparison import compare as compared

    require_plotting(plots)
    other = comparison = report = None
    with model_errors():
        rows = read_rows(data, split)
        # Both are loaded before the first is measured: a wrong name should not cost the wait.
        classifiers = [(engine, load_classifier(engine.value, model, threads=threads))]
        if compare is not None or compare_engine is not None:
            second = compare_engine or engine
            name = other_model(model, compare)
            classifiers.append((second, load_classifier(second.value, name, threads=threads)))
        measured, *others = [measure_rows(each, chosen, rows) for chosen, each in classifiers]
        if others:
            other = others[0]
            comparison = compared(measured.probabilities, other.probabilities, rows)
        if robustness:
            report = assess_robustness(classifiers[0][1], rows)
    if plots is not None:
        from undertone_models.evaluation_plots import write_plots

        for path in write_plots(measured.name, measured.figures, plots):
            err.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(measured, other, comparison, report)
    else:
        print_tables(measured, other, comparison, report)


def read_rows(data: list[Path], split: str | None) -> list[LabelledRow]:
    """The rows of the split that is asked for. Raises UsageError where there is none."""
    from undertone_models.labelled import read_labelled, rows_of_split

    rows = rows_of_split(read_labelled(data), split)
    if not rows:
        raise UsageError(f"--data: no rows with split {split or 'validation'}", hint="see --split")
    return rows


def other_model(model: str | None, compare: str | None) -> str | None:
    """The checkpoint to compare with, as load_classifier takes it."""
    if compare is None:
        return model
    return None if compare == BUNDLED and not Path(compare).exists() else compare


def require_plotting(folder: Path | None) -> None:
    """Make the folder of the plots, before any work. Raises UsageError."""
    if folder is None:
        return
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--plots: matplotlib is not installed",
            hint='install the extra: pip install "undertone[plots]"',
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--plots: {folder}: {error.strerror}") from None


def measure_rows(
    classifier: SentimentClassifier, engine: EngineName, rows: list[LabelledRow]
) -> Measured:
    """Classify all rows behind a progress bar, and measure."""
    from undertone_models.evaluation import answer_rows, measure

    with _progress() as progress:
        task = progress.add_task(classifier.name, total=len(rows))
        answers = answer_rows(classifier, rows, on_rows=lambda done: progress.advance(task, done))
    figures = measure(answers.probabilities, rows, messages_per_second=answers.messages_per_second)
    return Measured(classifier.name, engine, answers.probabilities, figures)


def assess_robustness(classifier: SentimentClassifier, rows: list[LabelledRow]) -> RobustnessReport:
    """Ask the robustness questions behind a progress bar."""
    from undertone_models.robustness import assess

    with _progress() as progress:
        task = progress.add_task("robustness", total=None)
        return assess(
            classifier,
            rows,
            on_rows=lambda done: progress.advance(task, done),
            on_total=lambda total: progress.update(task, total=total),
        )


def print_json(
    measured: Measured,
    other: Measured | None,
    comparison: Comparison | None,
    report: RobustnessReport | None,
) -> None:
    """One object: the figures, and under keys of their own what else was asked for."""
    printed = measured.as_dict()
    if other and comparison:
        printed["comparison"] = {**comparison.as_dict(), "other": other.as_dict()}
    if report:
        printed["robustness"] = report.as_dict()
    typer.echo(json.dumps(printed, ensure_ascii=False))


def print_tables(
    measured: Measured,
    other: Measured | None,
    comparison: Comparison | None,
    report: RobustnessReport | None,
) -> None:
    """The same for a person."""
    from undertone.cli.evaluation_tables import print_comparison, print_evaluation

    console = Console()
    print_evaluation(console, measured.name, measured.figures)
    if other and comparison:
        a, b = (f"{each.name} (engine {each.engine.value})" for each in (measured, other))
        print_comparison(console, a, b, comparison)
        console.print(f"B reads {other.figures.messages_per_second:,.0f} rows a second.")
    if report:
        from undertone.cli.robustness_tables import print_robustness

        print_robustness(console, report)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=err)
