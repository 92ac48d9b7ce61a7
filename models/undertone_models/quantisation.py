"""From a torch checkpoint to an int8 ONNX model whose answers do not depend on the batch.

Three steps: export (rows and tokens free), fuse (onnxruntime.transformers), quantise. Each linear
layer gets 7-bit weights in int8 with a scale a column, and reads activations as uint8 with a scale
*a token*, taken from that token alone (after ZeroQuant, Yao et al. 2022). ONNX Runtime's own
dynamic quantisation takes one scale from the whole batch, so that a message's score would depend
on its neighbours; calibrated static scales do not, but moved probabilities six times as far here,
as a few tokens have activations forty times the usual ones. Attention's own products stay in
float. The word embeddings, half of the file, are int8 with a scale a row.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.transformers.optimizer import optimize_model

from undertone_models.checkpoint import Checkpoint
from undertone_models.torch_classifier import load_model

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
EMBEDDING_ROWS = 1000  # a table with at least so many rows is one of words
CONTRIB = "com.microsoft"
# Seven bits: CPUs without VNNI add two uint8 × int8 products in 16 bits; eight would overflow.
LARGEST_WEIGHT = 63
LARGEST_EMBEDDING = 127


def quantise_checkpoint(checkpoint: Checkpoint) -> Path:
    """Write the checkpoint's `model.onnx` from its safetensors and return its path.

    The file is replaced in one move. Raises CheckpointError.
    """
    with tempfile.TemporaryDirectory() as folder:
        exported, fused = Path(folder) / "exported.onnx", Path(folder) / "fused.onnx"
        export(checkpoint, exported)
        fuse(exported, fused)
        model = onnx.load(fused)
    quantise_linear_layers(model)
    quantise_embeddings(model)
    partial = checkpoint.onnx_path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(checkpoint.onnx_path)
    return checkpoint.onnx_path


def export(checkpoint: Checkpoint, out: Path) -> None:
    """Export the float32 model: int64 inputs (rows, tokens), output `logits` (rows, 3)."""
    # Eager attention exports to plain products, which the optimiser knows.
    model = load_model(checkpoint, torch.float32, attention="eager")
    known = inspect.signature(model.forward).parameters
    names = [name for name in INPUTS if name in known]
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with _quiet():
        torch.onnx.export(
            model,
            (),
            str(out),
            # One tensor for all would make them one input.
            kwargs={name: torch.ones((2, 16), dtype=torch.int64) for name in names},
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(names, free),
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def fuse(source: Path, out: Path) -> None:
    """Join operators: layer norm with its residual, GELU with its bias."""
    optimize_model(str(source), model_type="bert", opt_level=0).save_model_to_file(str(out))


def quantise_linear_layers(model: Any) -> None:
    """Replace, in place, each product with constant weights by an int8 one.

    For a row x of activations and weights W: with a = max|x| / 127 and b = max|W column| / 63,
    x·W ≈ a · b · (round(x / a) · round(W / b)), summed in int32. Layers that read the same
    activations share their quantised form.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[Any] = []
    quantised: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in constants:
            nodes.append(node)
            continue
        source, weights = node.input
        if source not in quantised:
            nodes.extend(_quantised_rows(source))
            quantised.add(source)
        nodes.extend(_int8_product(graph, source, constants[weights], node.output[0]))
    del graph.node[:]
    graph.node.extend(nodes)
    _add_constants(
        graph,
        {
            "int8/step": np.float32(1 / 127),
            "int8/least": np.float32(1e-9),
            "int8/one": np.float32(1),
            "int8/zero_point": np.uint8(128),
            "int8/last_axis": np.array([-1], dtype=np.int64),
        },
    )
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))


def quantise_embeddings(model: Any) -> None:
    """Store, in place, each table of word embeddings as int8 with a float scale a row."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[Any] = []
    for node in graph.node:
        table = constants.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or table.dims[0] < EMBEDDING_ROWS:
            nodes.append(node)
        else:
            nodes.extend(_int8_lookup(graph, table, node.input[1], node.output[0]))
    del graph.node[:]
    graph.node.extend(nodes)


def _quantised_rows(source: str) -> list[Any]:
    """Nodes that make `source/int8` (uint8 about 128) and `source/scale` (a row's scale)."""
    return [
        helper.make_node("Abs", [source], [f"{source}/abs"]),
        helper.make_node(
            "ReduceMax", [f"{source}/abs", "int8/last_axis"], [f"{source}/max"], keepdims=1
        ),
        helper.make_node("Max", [f"{source}/max", "int8/least"], [f"{source}/range"]),
        helper.make_node("Mul", [f"{source}/range", "int8/step"], [f"{source}/scale"]),
        helper.make_node("Div", [source, f"{source}/scale"], [f"{source}/scaled"]),
        helper.make_node(
            "QuantizeLinear",
            [f"{source}/scaled", "int8/one", "int8/zero_point"],
            [f"{source}/int8"],
        ),
    ]


def _int8_product(graph: Any, source: str, weights: Any, output: str) -> list[Any]:
    name = weights.name
    integers, scales = _int8_columns(numpy_helper.to_array(weights), LARGEST_WEIGHT)
    graph.initializer.remove(weights)
    zero_point = np.int8(0)
    _add_constants(
        graph,
        {f"{name}/int8": integers, f"{name}/scale": scales, f"{name}/zero_point": zero_point},
    )
    inputs = [
        f"{source}/int8",
        f"{name}/int8",
        "int8/one",
        f"{name}/scale",
        "int8/zero_point",
        f"{name}/zero_point",
    ]
    return [
        helper.make_node("MatMulIntegerToFloat", inputs, [f"{name}/product"], domain=CONTRIB),
        helper.make_node("Mul", [f"{name}/product", f"{source}/scale"], [output]),
    ]


def _int8_lookup(graph: Any, table: Any, indices: str, output: str) -> list[Any]:
    name = table.name
    integers, scales = _int8_columns(numpy_helper.to_array(table).T, LARGEST_EMBEDDING)
    graph.initializer.remove(table)
    _add_constants(
        graph, {f"{name}/int8": np.ascontiguousarray(integers.T), f"{name}/scale": scales[:, None]}
    )
    return [
        helper.make_node("Gather", [f"{name}/int8", indices], [f"{name}/row"]),
        helper.make_node("Gather", [f"{name}/scale", indices], [f"{name}/row_scale"]),
        helper.make_node("Cast", [f"{name}/row"], [f"{name}/float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}/float", f"{name}/row_scale"], [output]),
    ]


def _int8_columns(
    values: NDArray[np.float32], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(k, n) floats as integers to ±`largest`, and a scale for each of the n columns."""
    scales = np.maximum(np.abs(values).max(axis=0), 1e-9) / largest
    return np.round(values / scales).astype(np.int8), scales.astype(np.float32)


def _add_constants(graph: Any, constants: dict[str, Any]) -> None:
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and warns of libraries that it does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
