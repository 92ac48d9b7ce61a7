"""From a torch checkpoint to an int8 ONNX model whose answers do not depend on the batch.

`onnx_export` gives the graph; here each linear layer of it gets 7-bit weights in int8 with a scale
a column, and reads activations as uint8 with a scale *a token*, taken from that token alone (after
ZeroQuant, Yao et al. 2022). ONNX Runtime's own dynamic quantisation takes one scale from the whole
batch, so that a message's score would depend on its neighbours; calibrated static scales do not,
but moved probabilities six times as far here, as a few tokens have activations forty times the
usual ones. Attention's own products stay in float. The word embeddings, half of the file, are int8
with a scale a row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from undertone_models.checkpoint import Checkpoint
from undertone_models.onnx_export import exported

EMBEDDING_ROWS = 1000  # a table with at least so many rows is one of words
CONTRIB = "com.microsoft"
# Seven bits: CPUs without VNNI add two uint8 × int8 products in 16 bits; eight would overflow.
LARGEST_WEIGHT = 63
LARGEST_EMBEDDING = 127


def quantise_checkpoint(checkpoint: Checkpoint) -> Path:
    """Write the checkpoint's `model.onnx` from its safetensors and return its path.

    The file is replaced in one move. Raises CheckpointError.
    """
    checkpoint.require_no_prefix("quantise")
    model = exported(checkpoint)
    quantise_linear_layers(model)
    quantise_embeddings(model)
    partial = checkpoint.onnx_path.with_suffix(".partial")
    onnx.save(model, partial)
    partial.replace(checkpoint.onnx_path)
    return checkpoint.onnx_path


def quantise_linear_layers(model: Any) -> None:
    """Replace, in place, each product with constant weights by an int8 one.

    For a row x of activations and weights W: with a = max|x| / 127 and b = max|W column| / 63,
    x·W ≈ a · b · (round(x / a) · round(W / b)), summed in int32. Layers that read the same
    activations share their quantised form; layers that share weights (ALBERT) keep doing so.
    """
    graph = model.graph
    matrices = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    nodes: list[Any] = []
    quantised: set[str] = set()
    stored: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in matrices:
            nodes.append(node)
            continue
        source, weights = node.input
        if source not in quantised:
            nodes.extend(_quantised_rows(source))
            quantised.add(source)
        if weights not in stored:
            _store_weights(graph, matrices[weights])
            stored.add(weights)
        nodes.extend(_int8_product(source, weights, node.output[0]))
    _replace_nodes(graph, nodes)
    _add_constants(
        graph,
        {
            "int8/step": np.float32(1 / 127),
            "int8/least": np.float32(1e-9),
            "int8/zero_point": np.uint8(128),
            "int8/last_axis": np.array([-1], dtype=np.int64),
            "int8/one": np.float32(1),
            "int8/weights_zero_point": np.int8(0),
        },
    )
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))


def quantise_embeddings(model: Any) -> None:
    """Store, in place, each table of word embeddings as int8 with a float scale a row."""
    graph = model.graph
    tables = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and tensor.dims[0] >= EMBEDDING_ROWS
    }
    nodes: list[Any] = []
    stored: set[str] = set()
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables or _axis(node) != 0:
            nodes.append(node)
            continue
        name = node.input[0]
        if name not in stored:
            _store_table(graph, tables[name])
            stored.add(name)
        nodes.extend(_int8_lookup(name, node.input[1], node.output[0]))
    _replace_nodes(graph, nodes)


def _quantised_rows(source: str) -> list[Any]:
    """Nodes that make `source/int8` (uint8 about 128) and `source/scale` (a row's scale)."""
    # max|x| from the greatest and the least costs less than from |x|.
    steps = [
        ("ReduceMax", [source, "int8/last_axis"], "greatest"),
        ("ReduceMin", [source, "int8/last_axis"], "least"),
        ("Neg", [f"{source}/least"], "minus_least"),
        ("Max", [f"{source}/greatest", f"{source}/minus_least", "int8/least"], "range"),
        ("Mul", [f"{source}/range", "int8/step"], "scale"),
        ("Div", [source, f"{source}/scale"], "scaled"),
        ("QuantizeLinear", [f"{source}/scaled", "int8/one", "int8/zero_point"], "int8"),
    ]
    return [helper.make_node(name, inputs, [f"{source}/{out}"]) for name, inputs, out in steps]


def _store_weights(graph: Any, weights: Any) -> None:
    """Add `…/int8` and `…/scale` of these weights; floats that nothing reads go later."""
    integers, scales = _int8_columns(numpy_helper.to_array(weights), LARGEST_WEIGHT)
    _add_constants(graph, {f"{weights.name}/int8": integers, f"{weights.name}/scale": scales})


def _int8_product(source: str, weights: str, output: str) -> list[Any]:
    inputs = [
        f"{source}/int8",
        f"{weights}/int8",
        "int8/one",
        f"{weights}/scale",
        "int8/zero_point",
        "int8/weights_zero_point",
    ]
    product = f"{output}/product"
    return [
        helper.make_node("MatMulIntegerToFloat", inputs, [product], domain=CONTRIB),
        helper.make_node("Mul", [product, f"{source}/scale"], [output]),
    ]


def _store_table(graph: Any, table: Any) -> None:
    integers, scales = _int8_columns(numpy_helper.to_array(table).T, LARGEST_EMBEDDING)
    integers = np.ascontiguousarray(integers.T)
    _add_constants(graph, {f"{table.name}/int8": integers, f"{table.name}/scale": scales[:, None]})


def _int8_lookup(table: str, indices: str, output: str) -> list[Any]:
    row, scale, floats = f"{output}/row", f"{output}/row_scale", f"{output}/float"
    return [
        helper.make_node("Gather", [f"{table}/int8", indices], [row]),
        helper.make_node("Gather", [f"{table}/scale", indices], [scale]),
        helper.make_node("Cast", [row], [floats], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [floats, scale], [output]),
    ]


def _int8_columns(
    values: NDArray[np.float32], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(k, n) floats as integers to ±`largest`, and a scale for each of the n columns."""
    scales = np.maximum(np.abs(values).max(axis=0), 1e-9) / largest
    return np.round(values / scales).astype(np.int8), scales.astype(np.float32)


def _axis(node: Any) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def _replace_nodes(graph: Any, nodes: list[Any]) -> None:
    """Put these nodes in place of all, and drop constants that none of them reads."""
    del graph.node[:]
    graph.node.extend(nodes)
    # What the file says of values' types was true of the nodes before.
    del graph.value_info[:]
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _add_constants(graph: Any, constants: dict[str, Any]) -> None:
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
