"""The geometry of charts: paths in boxes that stretch, places in per cent.

A chart's text must keep its size while its width follows the page, so the lines are paths in a box
of `WIDTH` × `HEIGHT` units that the browser stretches, and everything else stands at a percentage
of the width and at pixels of the height.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 2_400
HEIGHT = 1_000

Row = NDArray[np.float64]


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 4, 5, 6, 8 × a power of ten."""
    if not math.isfinite(value) or value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if value <= factor * power * (1 + 1e-9):
            return float(factor * power)
    return 10 * power


def _runs(values: Row) -> Iterable[tuple[int, int, list[int]]]:
    """The runs of known values: (first bin, bin after the last, whole y values)."""
    known = np.isfinite(values)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield start, end, [round(y) for y in values[start:end].tolist()]


def _x(number: int, bins: int) -> int:
    return round(WIDTH * number / bins)


def _steps(start: int, ys: Sequence[int], bins: int) -> str:
    """From a first point at (start, ys[0]) on: across each bin, up or down between them."""
    parts = []
    for number in range(1, len(ys)):
        if ys[number] != ys[number - 1]:
            parts.append(f"H{_x(start + number, bins)}V{ys[number]}")
    parts.append(f"H{_x(start + len(ys), bins)}")
    return "".join(parts)


def step_line(values: Row) -> str:
    """A path that steps from bin to bin, broken where there is no value."""
    bins = len(values)
    return "".join(
        f"M{_x(start, bins)} {ys[0]}{_steps(start, ys, bins)}" for start, _end, ys in _runs(values)
    )


def step_area(values: Row, base: int = HEIGHT) -> str:
    """The same, filled to a base; runs that lie on the base are left out."""
    bins = len(values)
    return "".join(
        f"M{_x(start, bins)} {base}V{ys[0]}{_steps(start, ys, bins)}V{base}Z"
        for start, _end, ys in _runs(np.where(np.round(values) == base, np.nan, values))
    )


def step_band(low: Row, high: Row) -> str:
    """The area between two step lines (of y values, which grow downwards)."""
    bins, parts = len(low), []
    for (start, end, lower), (_s, _e, upper) in zip(_runs(low), _runs(high), strict=True):
        back = []
        for number in range(len(lower) - 1, -1, -1):
            back.append(f"V{lower[number]}H{_x(start + number, bins)}")
        parts.append(f"M{_x(start, bins)} {upper[0]}{_steps(start, upper, bins)}{''.join(back)}Z")
        assert end > start
    return "".join(parts)


def step_bars(marked: NDArray[np.bool_]) -> str:
    """Full-height bars over the marked bins."""
    return step_area(np.where(marked, 0.0, np.nan))
