"""`undertone quantise`: make a checkpoint's int8 ONNX model, and measure what that costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from undertone.cli.evaluate import read_rows
from undertone.cli.model_errors import model_errors
from undertone.cli.options import JsonOption

if TYPE_CHECKING:
    from undertone_models.labelled import LabelledRow
    from undertone_models.quantisation_loss import QuantisationLoss, SourceLoss

err = Console(stderr=True)


def command(
    *,
    model_dir: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Folder of the checkpoint.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Labelled rows: measure what int8 costs on them."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Rows of this split (default: validation, if rows have one)."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the models.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write CHECKPOINT/model.onnx, int8, from its model.safetensors (needs torch).

    With --data, both are measured: accuracy by source, and how far probabilities differ.
    """
    from undertone_models.checkpoint import Checkpoint, require_torch

    loss = None
    with model_errors():
        require_torch("undertone quantise")
        checkpoint = Checkpoint.load(model_dir)
        rows = read_rows(data, split) if data else []
        from undertone_models.quantisation import quantise_checkpoint

        with err.status("exporting and quantising"):
            path = quantise_checkpoint(checkpoint)
        size = path.stat().st_size
        err.print(f"{path}: {size / 1e6:.1f} MB", markup=False, highlight=False, soft_wrap=True)
        if rows:
            loss = measured(model_dir, rows, threads)
    if as_json:
        figures = loss.as_dict() if loss else {}
        typer.echo(json.dumps({"model": str(path), "bytes": size, **figures}))
    elif loss is None:
        typer.echo(path)
    else:
        print_loss(Console(), loss)


def measured(folder: Path, rows: list[LabelledRow], threads: int | None) -> QuantisationLoss:
    """Read the rows with both engines, behind a progress bar."""
    from undertone_models.classifier import load_classifier
    from undertone_models.quantisation_loss import measure_loss, work_of

    exact = load_classifier("torch", folder, threads=threads, device="cpu")
    quantised = load_classifier("onnx", folder, threads=threads)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as progress:
        task = progress.add_task("torch and int8", total=work_of(rows))
        return measure_loss(
            exact, quantised, rows, on_rows=lambda done: progress.advance(task, done)
        )


def print_loss(console: Console, loss: QuantisationLoss) -> None:
    """The table and the two differences, for a person."""
    from undertone_models.quantisation_loss import ALLOWED_BATCH_DIFFERENCE, ALLOWED_LOSS_POINTS

    table = Table("source", "rows", "torch", "int8", "loss, points", "verdict", title="Accuracy")
    for source, figures in loss.per_source.items():
        table.add_row(source, *_cells(figures, ALLOWED_LOSS_POINTS))
    table.add_section()
    table.add_row("all", *_cells(loss.overall, ALLOWED_LOSS_POINTS))
    console.print(table)
    within = "within" if loss.batch_within_limit else "ABOVE"
    console.print(
        f"Largest difference of a probability from torch's: "
        f"{loss.largest_probability_difference:.4f}\n"
        f"Largest difference of a pair alone from the same in a batch: "
        f"{loss.largest_batch_difference:.6f} ({within} {ALLOWED_BATCH_DIFFERENCE},"
        f" {loss.alone_n} pairs)",
        highlight=False,
    )


def _cells(figures: SourceLoss, limit: float) -> list[str]:
    return [
        f"{figures.n:,}",
        f"{figures.torch_accuracy:.4f}",
        f"{figures.int8_accuracy:.4f}",
        f"{figures.loss_points:+.2f}",
        f"within {limit}" if figures.within_limit else f"ABOVE {limit}",
    ]
