"""From trained weights to a whole checkpoint: safetensors, int8 ONNX, temperature."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from undertone_models.checkpoint import TOKENIZER, Checkpoint, write_details
from undertone_models.evaluation import classify_rows, fit_temperature
from undertone_models.labelled import LabelledRow
from undertone_models.onnx_classifier import OnnxClassifier
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
) -> Checkpoint:
    """Write the folder of a checkpoint from a trained model, all but its card.

    `held_out` are rows that it was not trained on; they set the temperature (none: it stays 1).
    """
    write_weights(model, tokenizer, out, max_tokens=max_tokens)
    write_details(out, name=name, version=version, temperature=1.0, max_tokens=max_tokens)
    checkpoint = Checkpoint.load(out)
    quantise_checkpoint(checkpoint)
    if not held_out:
        return checkpoint
    temperature = calibrate(checkpoint, held_out, threads=threads)
    write_details(out, name=name, version=version, temperature=temperature, max_tokens=max_tokens)
    return Checkpoint.load(out)


def write_weights(model: Any, tokenizer: Tokenizer, out: Path, *, max_tokens: int) -> None:
    """Write config, 16-bit safetensors and tokenizer, as transformers reads them."""
    transformers_logging.disable_progress_bar()
    model.half().save_pretrained(out)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(out / TOKENIZER))
    # Without a class of its own, transformers takes tokenizer.json as it is.
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        **{f"{kind}_token": f"[{kind.upper()}]" for kind in ("unk", "sep", "pad", "cls", "mask")},
    }
    (out / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n", "utf-8")


def calibrate(
    checkpoint: Checkpoint, held_out: Sequence[LabelledRow], *, threads: int | None = None
) -> float:
    """The temperature that makes the int8 model's probabilities fit these rows best."""
    plain = OnnxClassifier(replace(checkpoint, temperature=1.0), threads=threads)
    return fit_temperature(classify_rows(plain, held_out), held_out)
