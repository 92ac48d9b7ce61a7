"""From trained weights to a whole checkpoint: safetensors, int8 ONNX, calibration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from undertone_models.calibration import Calibration, fit_calibration
from undertone_models.checkpoint import ADAPTER, ONNX, TOKENIZER, Checkpoint, write_details
from undertone_models.classifier import Engine, load_classifier
from undertone_models.evaluation import classify_rows
from undertone_models.labelled import LabelledRow
from undertone_models.marking import TargetMarkers
from undertone_models.quantisation import quantise_checkpoint


def release(
    model: Any,
    tokenizer: Tokenizer,
    out: Path,
    *,
    name: str,
    version: str,
    max_tokens: int,
    held_out: Sequence[LabelledRow],
    threads: int | None = None,
    target_markers: TargetMarkers | None = None,
) -> Checkpoint:
    """Write the folder of a checkpoint from a trained model, all but its card.

    `held_out` are rows that it was not trained on; they calibrate it (none: it stays as it is).
    """

    def describe(calibration: Calibration) -> Checkpoint:
        write_details(
            out,
            name=name,
            version=version,
            calibration=calibration,
            max_tokens=max_tokens,
            target_markers=target_markers,
        )
        return Checkpoint.load(out)

    write_weights(model, tokenizer, out, max_tokens=max_tokens)
    checkpoint = describe(Calibration())
    if not checkpoint.prefix_path.exists():
        quantise_checkpoint(checkpoint)
    if not held_out:
        return checkpoint
    return describe(calibrate(checkpoint, held_out, threads=threads))


def write_weights(model: Any, tokenizer: Tokenizer, out: Path, *, max_tokens: int) -> None:
    """Write config, 16-bit safetensors and tokenizer, as transformers reads them."""
    transformers_logging.disable_progress_bar()
    shutil.rmtree(out / ADAPTER, ignore_errors=True)  # of an earlier model
    model = model.half()
    if hasattr(model, "peft_config"):
        from undertone_models.adapters import write_prefix

        model = write_prefix(model, out)
        (out / ONNX).unlink(missing_ok=True)
    model.save_pretrained(out)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(out / TOKENIZER))
    # Without a class of its own, transformers takes tokenizer.json as it is.
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        **_special_tokens(tokenizer),
    }
    (out / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n", "utf-8")


def _special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """What this tokenizer calls its special tokens: BERT's names, or RoBERTa's."""
    named: dict[str, str] = {}
    for kind in ("unk", "sep", "pad", "cls", "mask"):
        roberta = {"sep": "</s>", "cls": "<s>"}.get(kind, f"<{kind}>")
        for token in (f"[{kind.upper()}]", roberta):
            if tokenizer.token_to_id(token) is not None:
                named.setdefault(f"{kind}_token", token)
    return named


def calibrate(
    checkpoint: Checkpoint, held_out: Sequence[LabelledRow], *, threads: int | None = None
) -> Calibration:
    """What makes the int8 model's probabilities fit these rows best (torch's, with a prefix)."""
    engine: Engine = "torch" if checkpoint.prefix_path.exists() else "onnx"
    plain = load_classifier(engine, checkpoint.path, threads=threads, calibrated=False)
    return fit_calibration(classify_rows(plain, held_out), held_out)
