"""The tables of docs/models.md and of a model card, from what undertone measured.

    undertone evaluate --data FILE … --robustness --json > evaluation.json
    undertone quantise FOLDER --data FILE … --json > int8.json
    python docs/model_tables.py evaluation.json [int8.json]

Prints Markdown: figures a source, capabilities, names, changes, the worst answers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "sentfin": "SEntFiN 1.0",
    "newsmtsc": "NewsMTSC",
    "mams": "MAMS",
    "semeval2017_task4a": "SemEval-2017 4A",
    "twitter_financial_news": "Twitter Financial News",
    "overall": "all",
}
WORST_SHOWN = 8


def figures(evaluation: dict[str, Any], int8: dict[str, Any] | None) -> list[str]:
    """One row a source, and all together; what int8 costs, where it was measured."""
    head = ["validation rows of", "n", "accuracy", "macro recall", "macro F1"]
    head += ["calibration error", "by chance"] + (["int8 costs, points"] if int8 else [])
    lines = [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    rows = {**evaluation["per_source"], "overall": evaluation}
    for source in [name for name in NAMES if name in rows]:
        each = rows[source]
        low, high = each["confidence_intervals"]["accuracy"]
        cells = [
            NAMES[source],
            f"{each['n']:,}",
            f"{each['accuracy']:.3f} ± {(high - low) / 2:.3f}",
        ]
        cells += [f"{each[name]:.3f}" for name in ("macro_recall", "macro_f1", "ece")]
        cells.append(f"{each['ece_if_calibrated']:.3f}")
        if int8:
            loss = int8["overall"] if source == "overall" else int8["per_source"][source]
            cells.append(f"{loss['loss_points']:+.2f}")
        lines.append(_row(cells))
    return lines


def robustness(found: dict[str, Any]) -> list[str]:
    """Capabilities, names swapped, texts changed, and the worst answers."""
    lines = ["", "| capability | passed |", "|---|---:|"]
    for name, each in found["expectations"].items():
        lines.append(f"| {name} | {each['passed']} of {each['n']} |")
    lines += ["", _row(["other names", "mean change of the score", "answers that flip"])[:-2]]
    lines[-1] += " | largest gap between groups | by chance |"
    lines.append("|---|---:|---:|---:|---:|")
    for name, each in found["substitution"].items():
        high, low = each["extremes"][0], each["extremes"][-1]
        lines.append(
            f"| {name}, n = {each['n']} | {each['mean_absolute_change']:.3f} |"
            f" {each['flip_rate']:.1%} | {each['gap']:.3f} ({high} > {low}) |"
            f" {each['gap_by_chance']:.3f} |"
        )
    lines += ["", "| change | n | accuracy before → after | answers that flip |"]
    lines.append("|---|---:|---:|---:|")
    for name, each in found["perturbation"].items():
        before, after = each["accuracy_before"], each["accuracy_after"]
        lines.append(
            f"| {name} | {each['n']} | {before:.3f} → {after:.3f} | {each['flip_rate']:.1%} |"
        )
    lines += ["", "The worst answers:", ""]
    for each in found["worst"][:WORST_SHOWN]:
        lines.append(
            f'- "{each["text"]}", about {each["target"]}: {each["label"]} {each["probability"]:.2f}'
        )
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables of the files that are named."""
    evaluation, *others = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    lines = figures(evaluation, others[0] if others else None)
    if "robustness" in evaluation:
        lines += robustness(evaluation["robustness"])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
