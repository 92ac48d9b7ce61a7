"""Trend points as a Parquet file, for notebooks.

One row a point in the order of the replay; the columns are the fields of TrendPoint, instants as
UTC timestamps of milliseconds.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from undertone.errors import InputFileError
from undertone.records import TrendPoint
from undertone.replay.optional import required
from undertone.trends.points import Columns

_ROW_GROUP_POINTS = 65_536
_TYPES = {
    "str": lambda arrow: arrow.dictionary(arrow.int32(), arrow.string()),
    "int": lambda arrow: arrow.int64(),
    "float": lambda arrow: arrow.float64(),
    "float | None": lambda arrow: arrow.float64(),
    "Instant": lambda arrow: arrow.timestamp("ms", tz="UTC"),
}
_OPTIONAL = {"mean_score", "negative_share"}


class TrendsFile:
    """Writes trend points to `path` in row groups; memory does not grow with their number.

    A context manager. The file appears under its own name when the block ends, by an error or an
    interrupt too: it then holds what was added so far. Raises UsageError where pyarrow is
    missing, InputFileError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrow: Any = required("pyarrow", package="pyarrow", purpose="trends.parquet")
        self._parquet: Any = required(
            "pyarrow.parquet", package="pyarrow", purpose="trends.parquet"
        )
        self._schema = schema(self._arrow)
        self._points = 0
        self._batches: list[Any] = []
        self._writer: Any = None

    def __enter__(self) -> Self:
        try:
            self._writer = self._parquet.ParquetWriter(self._part, self._schema, compression="zstd")
        except OSError as error:
            raise InputFileError(f"{self.path}: cannot be written: {error}") from None
        return self

    def add(self, points: Columns) -> None:
        """Take the next points."""
        arrays = [self._column(points[field.name], field) for field in self._schema]
        self._batches.append(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._points += len(points["subject"])
        if self._points >= _ROW_GROUP_POINTS:
            self._write()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._write()
            self._writer.close()
            self._part.replace(self.path)
        except OSError as failure:
            raise InputFileError(f"{self.path}: cannot be written: {failure}") from None

    @property
    def _part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    def _column(self, values: Any, field: Any) -> Any:
        # Text is encoded once it is an array: pyarrow looks up Python strings far more slowly.
        if self._arrow.types.is_dictionary(field.type):
            return self._arrow.array(values).dictionary_encode()
        # NaN stands for none, as in a list of floats with gaps.
        return self._arrow.array(values, field.type, from_pandas=True)

    def _write(self) -> None:
        if self._batches:
            try:
                self._writer.write_table(self._arrow.Table.from_batches(self._batches))
            except OSError as error:
                raise InputFileError(f"{self.path}: cannot be written: {error}") from None
            self._batches.clear()
            self._points = 0


def schema(arrow: Any) -> Any:
    """The file's Arrow schema: one column for each field of TrendPoint, in its order."""
    return arrow.schema(
        [
            arrow.field(name, _column_type(name, arrow), nullable=name in _OPTIONAL)
            for name in TrendPoint.model_fields
        ]
    )


def _column_type(name: str, arrow: Any) -> Any:
    return _TYPES[str(TrendPoint.__annotations__[name])](arrow)
