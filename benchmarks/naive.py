"""The CPU engine beside what one writes first, and beside the arithmetic of its own library.

Prints JSON: `engine_per_naive` is pairs a second of the int8 ONNX engine ÷ those of a transformers
pipeline in 32 bits, which takes batches of 32 in order of arrival (the same pairs, marked alike,
the same number of threads); `arithmetic_per_matmul` is the multiplications and additions a second
of the engine's layers ÷ those of ONNX Runtime's own int8 product of two 1024 × 1024 matrices.
Medians of five interleaved rounds.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from parts.rounds import by_turns, is_quick, ratio, seconds, tell
from parts.scoring import THREADS, pairs_of
from parts.texts import encoded, histogram, mixed_rows
from transformers import pipeline
from transformers.utils import logging as transformers_logging

from undertone_models.checkpoint import Checkpoint, resolve
from undertone_models.classifier import EncodedPair, Pair, load_classifier
from undertone_models.marking import marked

TEXTS, QUICK_TEXTS = 512, 128
SIDE = 1024
PRODUCTS = 8


def naive_pipeline(checkpoint: Checkpoint) -> Any:
    """transformers' own, as its documentation shows it."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    return pipeline(
        "text-classification", str(checkpoint.path), dtype=torch.float32, device="cpu", top_k=None
    )


def naive_input(pair: Pair, checkpoint: Checkpoint) -> dict[str, str]:
    """A pair as the pipeline takes it."""
    text = marked(pair, checkpoint.target_markers) if checkpoint.target_markers else pair.text
    return {"text": text} if pair.target is None else {"text": text, "text_pair": pair.target}


def operations(checkpoint: Checkpoint, tokens: list[EncodedPair]) -> float:
    """Multiplications and additions of the layers' products with weights.

    The last layer makes keys and values of every token, all else of the first one alone.
    """
    config = json.loads((checkpoint.path / "config.json").read_text("utf-8"))
    width, inner, layers = (
        config["hidden_size"],
        config["intermediate_size"],
        config["num_hidden_layers"],
    )
    whole_layer = 4 * width * width + 2 * width * inner
    every = sum(len(pair.ids) for pair in tokens)
    last = every * 2 * width * width + len(tokens) * (whole_layer - 2 * width * width)
    return 2.0 * (every * (layers - 1) * whole_layer + last)


def product_session() -> onnxruntime.InferenceSession:
    """ONNX Runtime's product of uint8 and int8 matrices of 1024 × 1024."""
    weights = np.random.default_rng(1).integers(-63, 64, (SIDE, SIDE), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [SIDE, SIDE])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [SIDE, SIDE])],
        [numpy_helper.from_array(weights, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def main() -> None:
    """Print the ratios."""
    quick = is_quick(__doc__)
    pairs = pairs_of(encoded(mixed_rows(QUICK_TEXTS if quick else TEXTS)))
    checkpoint = Checkpoint.load(resolve(None))
    engine = load_classifier("onnx", threads=THREADS, batch_a_thread=True)
    naive = naive_pipeline(checkpoint)
    inputs = [naive_input(pair, checkpoint) for pair in pairs]
    session = product_session()
    left = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    tokens = engine.tokenise(pairs)
    work = operations(checkpoint, tokens)
    product_work = 2.0 * SIDE**3 * PRODUCTS
    engine.classify(pairs[:32])
    naive(inputs[:32], batch_size=32)
    found = by_turns(
        {
            "engine": lambda: len(pairs) / seconds(lambda: engine.classify(pairs)),
            "naive": lambda: len(pairs) / seconds(lambda: naive(inputs, batch_size=32)),
            "product": lambda: (
                product_work
                / seconds(lambda: [session.run(None, {"a": left}) for _ in range(PRODUCTS)])
            ),
        },
        quick=quick,
    )
    arithmetic = [rate * work / len(pairs) for rate in found["engine"]]
    tell(
        {
            "engine_per_naive": ratio(found["engine"], found["naive"]),
            "arithmetic_per_matmul": ratio(arithmetic, found["product"]),
        },
        token_lengths=histogram([len(pair.ids) for pair in tokens]),
    )


if __name__ == "__main__":
    main()
