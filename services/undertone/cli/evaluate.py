"""`undertone evaluate`: how good a checkpoint is on labelled rows."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from undertone.cli.model_errors import model_errors
from undertone.cli.options import JsonOption
from undertone.errors import UsageError

if TYPE_CHECKING:
    from undertone_models.evaluation import Evaluation

err = Console(stderr=True)


class EngineName(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


def command(
    *,
    data: Annotated[
        list[Path],
        typer.Option("--data", help="JSON lines or CSV with text, label, target?, source?, split?"),
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint [default: the bundled one].")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="What runs the model.")] = EngineName.AUTO,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Rows of this split [default: validation, if rows have one]."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a checkpoint on labelled rows: accuracy, macro F1, macro recall, calibration."""
    from undertone_models.classifier import load_classifier
    from undertone_models.evaluation import evaluate
    from undertone_models.labelled import read_labelled, rows_of_split

    with model_errors():
        rows = rows_of_split(read_labelled(data), split)
        if not rows:
            wanted = split or "validation"
            raise UsageError(f"--data: no rows with split {wanted}", hint="see --split")
        classifier = load_classifier(engine.value, model, threads=threads)
        columns = (TextColumn("classify"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("classify", total=len(rows))
            result = evaluate(classifier, rows, on_rows=lambda done: progress.advance(task, done))
    if as_json:
        typer.echo(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        print_tables(classifier.name, result)


def print_tables(name: str, result: Evaluation) -> None:
    """The figures for a person."""
    from undertone_models.evaluation import SourceFigures

    console = Console()
    console.print(
        f"{name}: {result.n:,} rows, {result.messages_per_second:,.0f} a second,"
        f" expected calibration error {result.ece:.3f}"
    )
    sources = Table("source", "rows", "accuracy", "macro F1", "macro recall")
    everything = SourceFigures(result.n, result.accuracy, result.macro_f1, result.macro_recall)
    for source, figures in [*result.per_source.items(), ("all", everything)]:
        sources.add_row(
            source,
            f"{figures.n:,}",
            f"{figures.accuracy:.3f}",
            f"{figures.macro_f1:.3f}",
            f"{figures.macro_recall:.3f}",
        )
    console.print(sources)
    classes = Table("label", "rows", "precision", "recall", "F1")
    for label, of_class in result.per_class.items():
        classes.add_row(
            label,
            f"{of_class.n:,}",
            f"{of_class.precision:.3f}",
            f"{of_class.recall:.3f}",
            f"{of_class.f1:.3f}",
        )
    console.print(classes)
