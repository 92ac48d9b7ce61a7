"""The folder of a training: what of an earlier one it may hold, and what is left in it."""

from __future__ import annotations

from pathlib import Path

from undertone_models.checkpoint import DETAILS
from undertone_models.training_settings import TrainingError

STATE_FILE = "training_state.pt"


def prepare_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder; refuse one that holds another run or checkpoint, unless `overwrite`.

    Raises TrainingError.
    """
    state = out / STATE_FILE
    if overwrite and not resume:
        state.unlink(missing_ok=True)
    elif state.exists() and not resume:
        raise TrainingError(
            f"--out {out}: holds a training that has not been finished",
            hint="go on with --resume, begin again with --overwrite, or give another folder",
        )
    elif (out / DETAILS).exists() and not state.exists():
        raise TrainingError(
            f"--out {out}: holds a checkpoint",
            hint="give another folder, or replace it with --overwrite",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"--out {out}: cannot be made: {error}") from None


def forget_state(out: Path) -> None:
    """Take away the state to resume from, when the checkpoint is whole."""
    (out / STATE_FILE).unlink(missing_ok=True)
