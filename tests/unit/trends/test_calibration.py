"""On real quiet streams, surprise ≥ k comes about 10^−k of the time; on its own model, exactly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from undertone.trends.baseline import Baseline
from undertone.trends.calibration import SIGNALS, WARM_UP_MS, evaluate, excess
from undertone.trends.panes import Counts
from undertone.trends.rhythm import DAY_MS, HOUR_MS
from undertone.watchlist.subjects import Prior

ROOT = Path(__file__).parents[3]
STREAMS = ROOT / ".." / "shared" / "data" / "streams"


def _benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibration", ROOT / "benchmarks/calibration.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["stocknet", "reuters"])
def test_surprise_is_calibrated_on_a_real_quiet_stream(name: str) -> None:
    if not STREAMS.exists():
        pytest.skip("../shared/data/streams is not there")
    benchmark = _benchmark()
    stream = benchmark.KNOWN[name]
    panes = benchmark.panes_of(benchmark.tagged(STREAMS / stream.file))
    outside = {}
    # Hours of every eighth subject, to be done in a few seconds; the benchmark takes them all.
    for window_ms, every in ((DAY_MS, 1), (HOUR_MS, 8)):
        tails = benchmark.tails_of(stream, panes, window_ms, every).tails(seed=7)
        assert set(tails) == set(SIGNALS)
        for signal, each in tails.items():
            if signal == "mean_score":
                continue  # The word list's score takes few values: its mean has no smooth tail.
            powers = [power for power in (2, 3, 4) if len(each) >= 10 ** (power + 1)]
            assert 2 in powers
            for power in powers:
                over = excess(each, power)
                if not 1 / 3 <= over <= 3:
                    outside[signal, window_ms // HOUR_MS, power] = (len(each), over)
    assert not outside


def test_surprise_is_calibrated_on_poisson_stories() -> None:
    draw = np.random.default_rng(5)
    counts = draw.poisson(3.0, size=24 * 400)
    panes = [
        ((hour + 1) * HOUR_MS, Counts(mentions=int(n), stories=int(n), neutral=int(n)))
        for hour, n in enumerate(counts)
        if n
    ]
    evaluations = evaluate(panes, Prior(), HOUR_MS, (0, 24 * 400 * HOUR_MS), lambda _ms: True)
    assert len(evaluations.rows) == 24 * 400 - WARM_UP_MS // HOUR_MS
    tails = evaluations.tails(seed=1)["volume"]
    # Poisson is the calmest that a stream can be: surprise is rarer than due, not more frequent.
    assert excess(tails, 1) <= 1.1
    assert excess(tails, 2) <= 1.2


def test_a_window_is_judged_by_what_was_known_before_it() -> None:
    panes = [((60 * 24 + 5) * HOUR_MS, Counts(mentions=50, stories=50, neutral=50))]
    rows = evaluate(panes, Prior(), HOUR_MS, (0, 61 * DAY_MS), lambda _ms: True).rows
    told = [row for row in rows if row[0] == 50]
    before = rows[rows.index(told[0]) - 1]
    assert len(told) == 1
    assert told[0][5] == pytest.approx(before[5], rel=0.01)  # the stories that were expected


def test_times_that_are_not_quiet_do_not_count_but_are_learnt() -> None:
    panes = [(day * DAY_MS + HOUR_MS, Counts(mentions=9, stories=9)) for day in range(40)]
    quiet = evaluate(panes, Prior(), DAY_MS, (0, 40 * DAY_MS), lambda at: at >= 39 * DAY_MS)
    assert len(quiet.rows) == 1
    heard = Baseline(at_ms=0)
    for end_ms, counts in panes[:-1]:
        heard.advance(end_ms)
        heard.learn(counts)
    assert quiet.rows[0][5] == pytest.approx(9, rel=0.4)
