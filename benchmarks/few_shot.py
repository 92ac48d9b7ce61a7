"""What few labels reach: `--few-shot` 16, 64, 256, from the bundled checkpoint and the plain base.

Prints one JSON object: macro F1 (mean over sources) on validation, by start and rows of a label.

    python benchmarks/few_shot.py --data rows.jsonl [--few 16 64 256] [--rows-measured 2000]

`--base FOLDER --layers 6` names the plain base, `--starts base` leaves the other out, and
`--augment swap_targets=0.2` measures an augmentation against the same without.

The bundled checkpoint was trained on the sets that its card names: for rows of those, its figures
say how well it keeps them; for what it reaches on new labels, give it rows of another kind.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from undertone_models.checkpoint import bundled
from undertone_models.labelled import LabelledRow, read_labelled
from undertone_models.training import find_base, train
from undertone_models.training_settings import changed, read_recipe


def best_score(
    rows: Sequence[LabelledRow],
    measured: Sequence[LabelledRow],
    base: str,
    options: Mapping[str, Any],
) -> float:
    """Macro F1 at the end of a training with the defaults of few rows."""
    settings = read_recipe(None, options)
    # One evaluation, of the last step: nothing is chosen by the rows that are measured.
    settings = changed(settings, evaluate_every_steps=1_000_000)
    scores: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            rows,
            base,
            Path(folder),
            settings,
            validation=measured,
            on_evaluation=lambda evaluation: scores.append(evaluation.score),
        )
    return scores[-1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--rows-measured", type=int, default=2000)
    parser.add_argument("--few", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--starts", nargs="+", default=["bundled", "base"])
    parser.add_argument("--base", default=None, help="the plain base: a folder")
    parser.add_argument("--layers", type=int, help="how many of its layers are kept")
    parser.add_argument("--augment", action="append", default=[], help="CHANGE=SHARE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = read_labelled(options.data)
    training = [row for row in rows if row.split in (None, "train")]
    held_out = [row for row in rows if row.split == "validation"]
    measured = random.Random(1).sample(held_out, min(options.rows_measured, len(held_out)))
    result: dict[str, float | int] = {"rows_measured": len(measured), "seeds": options.seeds}
    augment = {name: float(share) for name, share in (each.split("=") for each in options.augment)}
    variants = {"": {}, **({"_augmented": {"augment": augment}} if augment else {})}
    for start in options.starts:
        base = str(bundled()) if start == "bundled" else find_base(options.base)
        layers = {} if start == "bundled" else {"layers": options.layers}
        for few, (variant, changes) in itertools.product(options.few, variants.items()):
            scores = [
                best_score(
                    training, measured, base, {"few_shot": few, "seed": seed, **layers, **changes}
                )
                for seed in range(options.seeds)
            ]
            name = f"macro_f1_{start}_{few}{variant}"
            result[name] = round(statistics.mean(scores), 4)
            print(f"{name}: {scores}", file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
