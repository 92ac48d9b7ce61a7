"""Where rows that are no message are kept, so that a person can correct them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from undertone.errors import InputFileError
from undertone.ingest.readers import Reject

_NO_ROOM = "Make room on its disk, or name another file"


class RejectLog:
    """Counts rejects; where there is a path, each is a JSON line {file, line, error, text} there.

    Raises InputFileError where the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self.first: Reject | None = None
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("wb")
            except OSError as error:
                raise self._unwritable(error, "Name a file in a folder that exists") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as failure:
                if error is None:  # else that is told
                    raise self._unwritable(failure, _NO_ROOM) from None

    def add(self, reject: Reject) -> None:
        """Keep one reject."""
        self.count += 1
        self.first = self.first or reject
        if self._file is not None:
            try:
                self._file.write(reject.to_json() + b"\n")
            except OSError as error:
                raise self._unwritable(error, _NO_ROOM) from None

    def _unwritable(self, error: OSError, advice: str) -> InputFileError:
        return InputFileError(
            f"{self._path}: cannot be written: {error.strerror}", hint=f"{advice} with --rejects."
        )
