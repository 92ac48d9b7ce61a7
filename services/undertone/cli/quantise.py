"""`undertone quantise`: make a checkpoint's int8 ONNX model from its safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from undertone.cli.model_errors import model_errors

err = Console(stderr=True)


def command(
    model_dir: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
) -> None:
    """Write MODEL_DIR/model.onnx, int8, from MODEL_DIR/model.safetensors (needs torch)."""
    from undertone_models.checkpoint import Checkpoint, require_torch

    with model_errors():
        require_torch("undertone quantise")
        checkpoint = Checkpoint.load(model_dir)
        from undertone_models.quantisation import quantise_checkpoint

        with err.status("exporting and quantising"):
            path = quantise_checkpoint(checkpoint)
    err.print(f"{path.stat().st_size / 1e6:.1f} MB")
    typer.echo(path)
