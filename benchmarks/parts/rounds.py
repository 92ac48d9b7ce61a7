"""How a ratio is measured: both sides by turns in one run, the median of the rounds as JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ROUNDS, QUICK_ROUNDS = 5, 2


def is_quick(description: str | None) -> bool:
    """Reads the command line: `--quick` is for trying a script out, with fewer texts and rounds."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer texts, two rounds")
    return bool(parser.parse_args().quick)


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def by_turns(measures: Mapping[str, Callable[[], float]], *, quick: bool) -> dict[str, list[float]]:
    """What each measure gives in each round; in every other round they come in reverse."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(QUICK_ROUNDS if quick else ROUNDS):
        names = list(measures) if number % 2 == 0 else list(measures)[::-1]
        for name in names:
            found[name].append(measures[name]())
    return found


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    pairs = zip(numerators, denominators, strict=True)
    return statistics.median(above / below for above, below in pairs)


def tell(ratios: Mapping[str, float], **beside: Any) -> None:
    """Print one JSON object: the ratios, and what stands beside them."""
    rounded = {name: round(value, 3) for name, value in ratios.items()}
    print(json.dumps({**rounded, **beside}))
