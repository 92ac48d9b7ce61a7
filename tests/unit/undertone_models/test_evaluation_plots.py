"""The pictures of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from undertone_models.evaluation import measure
from undertone_models.labelled import LabelledRow

pytest.importorskip("matplotlib", reason="matplotlib is not installed (the extra `plots`)")

from undertone_models.evaluation_plots import (
    MOST_SOURCES,
    confusion_figure,
    reliability_figure,
    write_plots,
)


def rows(sources: int) -> list[LabelledRow]:
    return [
        LabelledRow("x", None, number % 3, f"source-{number % sources}", None)
        for number in range(6 * sources)
    ]


def test_both_pictures_are_png_files(tmp_path: Path) -> None:
    some = rows(2)
    probabilities = np.random.default_rng(1).dirichlet((1, 1, 1), size=len(some))
    result = measure(probabilities.astype(np.float32), some, resamples=0)
    written = write_plots("model@1", result, tmp_path)
    assert [path.name for path in written] == ["confusion.png", "reliability.png"]
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_every_picture_says_how_many_rows_it_shows() -> None:
    some = rows(2)
    result = measure(np.full((len(some), 3), 1 / 3, dtype=np.float32), some, resamples=0)
    assert "n = 12" in confusion_figure("model@1", result).axes[0].get_title()
    titles = [axes.get_title() for axes in reliability_figure("model@1", result).axes]
    assert "n = 12" in titles[0]
    assert "n = 6" in titles[1] and titles[1].startswith("source-0")


def test_of_very_many_sources_the_largest_are_drawn() -> None:
    some = [*rows(MOST_SOURCES + 5), *rows(2)]
    result = measure(np.full((len(some), 3), 1 / 3, dtype=np.float32), some, resamples=0)
    figure = reliability_figure("model@1", result)
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == 1 + MOST_SOURCES
    assert "5 smaller sources not shown" in figure.get_suptitle()


def test_no_rows_can_be_drawn() -> None:
    result = measure(np.empty((0, 3), dtype=np.float32), [])
    assert confusion_figure("model@1", result).axes
    assert reliability_figure("model@1", result).axes
