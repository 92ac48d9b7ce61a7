"""Errors of the model package, as errors of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from undertone.errors import InputFileError, ModelError, UsageError


@contextmanager
def model_errors() -> Iterator[None]:
    """Raise what undertone_models raises as ModelError and InputFileError."""
    from undertone_models.checkpoint import CheckpointError
    from undertone_models.labelled import LabelledFileError
    from undertone_models.training_settings import TrainingError

    try:
        yield
    except CheckpointError as error:
        raise ModelError(error.message, hint=error.hint) from None
    except TrainingError as error:
        raise UsageError(error.message, hint=error.hint) from None
    except LabelledFileError as error:
        raise InputFileError(str(error)) from None
