"""Pictures of an evaluation: confusion matrix, reliability diagrams (needs matplotlib)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from undertone_models.evaluation import Evaluation, Figures
from undertone_models.pairs import LABELS

CONFUSION, RELIABILITY = "confusion.png", "reliability.png"
MOST_SOURCES = 11  # panels beside that of all rows; the largest sources
DOTS_PER_INCH = 150
PANELS_PER_ROW = 3
_MARK, _FAINT = "#1f5fa8", "#8a8f98"
_DEVIATE = 1.96  # of the normal distribution, for 95%


def write_plots(name: str, result: Evaluation, folder: Path) -> list[Path]:
    """Write confusion.png and reliability.png of a classifier into a folder that exists."""
    written = []
    for file, figure in (
        (CONFUSION, confusion_figure(name, result)),
        (RELIABILITY, reliability_figure(name, result)),
    ):
        FigureCanvasAgg(figure)
        figure.savefig(folder / file, dpi=DOTS_PER_INCH)
        written.append(folder / file)
    return written


def confusion_figure(name: str, result: Evaluation) -> Figure:
    """True label by answer: rows and the share of the true label's rows."""
    counts = np.array([[result.confusion[true][said] for said in LABELS] for true in LABELS], float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(LABELS)):
        for column in range(len(LABELS)):
            axes.text(
                column,
                row,
                f"{shares[row, column]:.1%}\n{counts[row, column]:,.0f}",
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.55 else "black",
            )
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(
        range(len(LABELS)),
        [f"{label}\nn = {total:,.0f}" for label, total in zip(LABELS, totals[:, 0], strict=True)],
    )
    axes.set_xlabel("answer")
    axes.set_ylabel("true label")
    axes.set_title(f"{name}\naccuracy {result.accuracy:.3f}, n = {result.n:,}", fontsize=11)
    figure.colorbar(image, ax=axes, label="share of the true label's rows", shrink=0.85)
    return figure


def reliability_figure(name: str, result: Evaluation) -> Figure:
    """How often answers of each probability are right: all rows, then each source."""
    largest = sorted(result.per_source, key=lambda source: -result.per_source[source].n)
    shown = sorted(largest[:MOST_SOURCES])
    panels: list[tuple[str, Figures]] = [("all rows", result)]
    if len(result.per_source) > 1:
        panels += [(source, result.per_source[source]) for source in shown]
    columns = min(PANELS_PER_ROW, len(panels))
    lines = math.ceil(len(panels) / columns)
    width = max(3.3 * columns, 5.0)
    figure = Figure(figsize=(width, 3.4 * lines + 0.9), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes, (title, figures) in zip(grid.flat, panels, strict=False):
        _draw_reliability(axes, title, figures)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    left_out = len(result.per_source) - len(shown)
    note = f"; {left_out} smaller sources not shown" if left_out else ""
    figure.suptitle(f"{name}: bars are 95% intervals, a dot's area is its share of rows{note}")
    figure.supxlabel("probability of the answer (mean of the bin)")
    figure.supylabel("share of answers that are right")
    return figure


def _draw_reliability(axes: Axes, title: str, figures: Figures) -> None:
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
    bins = figures.reliability
    said = np.array([value.confidence for value in bins])
    right = np.array([value.accuracy for value in bins])
    counts = np.array([value.n for value in bins], float)
    if len(bins):
        low, high = _wilson(right, counts)
        axes.vlines(said, low, high, color=_MARK, linewidth=1, alpha=0.6)
        areas = 12 + 200 * counts / max(1, figures.n)
        axes.scatter(said, right, s=areas, color=_MARK, linewidths=0, zorder=3)
    axes.set_xlim(0.3, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_title(f"{title}\nECE {figures.ece:.3f}, n = {figures.n:,}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95% interval of a share of n rows (Wilson 1927)."""
    square = _DEVIATE**2 / n
    centre = (share + square / 2) / (1 + square)
    half = _DEVIATE * np.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return centre - half, centre + half
