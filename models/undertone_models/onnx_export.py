"""A checkpoint's torch model as a float32 ONNX graph, rearranged for speed and checked.

torch writes attention as one ONNX `Attention` node wherever the model uses torch's own
(`scaled_dot_product_attention`), and as plain products elsewhere. Two rewrites follow, which
change no result: attention reads (rows, tokens, width) as it is, without transposing to heads and
back; and what follows the last attention is computed for the first token alone, where only that
one is read (in BERT's kin: five sixths of the last layer's products).
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    DeduplicateInitializersPass,
    RemoveUnusedNodesPass,
)

from undertone_models.checkpoint import Checkpoint, CheckpointError
from undertone_models.torch_classifier import load_model

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# From 23 on there is Attention; below it all is plain products, which serve where a new operator
# fails (ModernBERT's rotary positions).
OPSETS = (23, 20)
LARGEST_DIFFERENCE = 1e-3  # of logits that are as large as 1; in proportion to larger ones
LARGEST_SHARED_BYTES = 2**32
HEADS_FIRST = [0, 2, 1, 3]
# Where the other values of these operators' rows do not enter into a row.
ROW_WISE = {"Add", "Sub", "Mul", "Div", "Gelu", "Erf", "Tanh", "Relu", "Sigmoid"}


def exported(checkpoint: Checkpoint) -> Any:
    """The checkpoint's float32 model, an onnx ModelProto.

    Inputs are those of INPUTS that the architecture has, int64 (rows, tokens), both free; the
    output is `logits` (rows, outputs). Raises CheckpointError, also when the graph does not answer
    as torch does.
    """
    model = load_model(checkpoint, torch.float32)
    reason = ""
    for opset in OPSETS:
        try:
            graph = _export(model, opset)
            simplify(graph)
            ClearMetadataAndDocStringPass()(graph)  # stack traces, with the paths of this machine
            proto = ir.to_proto(graph)
            difference = _difference(model, proto, checkpoint)
        except Exception as error:  # torch.export, onnxscript and onnxruntime each raise their own
            reason = reason or f"cannot be exported to ONNX: {_cause(error)}"
            continue
        if difference <= LARGEST_DIFFERENCE:
            return proto
        reason = reason or f"its ONNX graph differs from torch by {difference:.2g} in the logits"
    raise CheckpointError(
        f"{checkpoint.path}: architecture {model.config.model_type}: {reason}",
        hint="engine torch runs this checkpoint as it is: --engine torch",
    )


def simplify(model: ir.Model) -> None:
    """Rearrange the graph in place: shared weights once, flat attention, one token pooled early."""
    DeduplicateInitializersPass(size_limit=LARGEST_SHARED_BYTES)(model)
    flatten_attention(model.graph)
    RemoveUnusedNodesPass()(model)  # what is not read must not look as if it were
    pool_early(model.graph)
    RemoveUnusedNodesPass()(model)


def flatten_attention(graph: ir.Graph) -> None:
    """Let Attention read and write (rows, tokens, width): it splits the heads by itself."""
    for node in list(graph):
        if node.op_type != "Attention":
            continue
        flat = [_before_heads(value) for value in node.inputs[:3]]
        after = _after_heads(node.outputs[0])
        if after is None or any(entry is None for entry in flat):
            continue
        for position, entry in enumerate(flat):
            assert entry is not None
            node.replace_input_with(position, entry[0])
            name = ("q_num_heads", "kv_num_heads", "kv_num_heads")[position]
            node.attributes[name] = ir.AttrInt64(name, entry[1])
        node.outputs[0].shape = after.shape
        after.replace_all_uses_with(node.outputs[0])


def pool_early(graph: ir.Graph) -> None:
    """Where only the first token of the last layer is read, take it before that layer's products.

    From the node that takes it, go back over nodes whose every use is the first token's, and
    which compute each token by itself (of Attention: the queries).
    """
    pooling = next((node for node in reversed(graph) if _takes_first_token(node)), None)
    if pooling is None:
        return
    chosen: dict[ir.Node, list[int]] = {}  # and which of its inputs hold a row a token
    reached = {(pooling, 0)}
    for node in reversed(graph):
        uses = [(use.node, use.idx) for value in node.outputs for use in value.uses()]
        if not uses or not all(use in reached for use in uses):
            continue
        inputs = _token_inputs(node)
        if inputs:
            chosen[node] = inputs
            reached.update((node, position) for position in inputs)
    if not any(node.op_type == "Attention" for node in chosen):
        return
    first = _constant(graph, "pool/first", np.array([0], dtype=np.int64))
    for node, inputs in chosen.items():
        for position in inputs:
            value = node.inputs[position]
            if value is not None and value.producer() not in chosen:
                _take(node, position, first, axis=1)
        if node.op_type == "Attention" and len(node.inputs) > 3 and node.inputs[3] is not None:
            _take(node, 3, first, axis=2)  # the mask's queries, or 1 for all of them
        for value in node.outputs:
            value.shape = None
    axis = _constant(graph, "pool/axis", np.array([1], dtype=np.int64))
    squeezed = ir.node("Squeeze", [pooling.inputs[0], axis])
    graph.insert_before(pooling, squeezed)
    squeezed.outputs[0].name = "pool/token"
    pooling.outputs[0].replace_all_uses_with(squeezed.outputs[0])


def _before_heads(value: ir.Value | None) -> tuple[ir.Value, int] | None:
    """The (rows, tokens, width) value that is split into heads here, and their number."""
    transpose = None if value is None else value.producer()
    if value is None or transpose is None or not _swaps_heads(transpose):
        return None
    split = transpose.inputs[0]
    reshape = None if split is None else split.producer()
    if reshape is None or reshape.op_type != "Reshape":
        return None
    flat, heads = reshape.inputs[0], value.shape
    if flat is None or flat.shape is None or heads is None or len(flat.shape) != 3:
        return None
    number, width = heads[1], heads[3]
    if not isinstance(number, int) or not isinstance(width, int) or flat.shape[2] != number * width:
        return None
    return flat, number


def _after_heads(value: ir.Value) -> ir.Value | None:
    """Where the heads of this value have been joined again."""
    for name in ("Transpose", "Reshape"):
        users = list(value.uses())
        if len(users) != 1 or users[0].node.op_type != name:
            return None
        if name == "Transpose" and not _swaps_heads(users[0].node):
            return None
        value = users[0].node.outputs[0]
    return value if value.shape is not None and len(value.shape) == 3 else None


def _swaps_heads(node: ir.Node) -> bool:
    order = node.attributes.get("perm")
    return (
        node.op_type == "Transpose" and order is not None and list(order.as_ints()) == HEADS_FIRST
    )


def _takes_first_token(node: ir.Node) -> bool:
    if node.op_type != "Gather" or _attribute(node, "axis", 0) != 1:
        return False
    source, index = node.inputs
    tensor = None if index is None else index.const_value
    return _rank(source) == 3 and tensor is not None and tensor.numpy().tolist() == 0


def _token_inputs(node: ir.Node) -> list[int]:
    """Which inputs have a row for each token, where the outputs' rows follow from those alone."""
    if any(_rank(value) != 3 for value in node.outputs):
        return []
    if node.op_type == "LayerNormalization":
        return [0] if _attribute(node, "axis", -1) in (-1, 2) else []
    if node.op_type == "MatMul":
        return [0] if _is_matrix(node.inputs[1]) else []
    if node.op_type == "Attention":
        mask = node.inputs[3] if len(node.inputs) > 3 else None
        plain = not _attribute(node, "is_causal", 0) and len(node.inputs) <= 4
        return [0] if plain and (mask is None or _rank(mask) == 4) else []
    if node.op_type in ROW_WISE:
        ranks = [_rank(value) for value in node.inputs]
        if all(rank in (0, 1, 3) for rank in ranks):
            return [position for position, rank in enumerate(ranks) if rank == 3]
    return []


def _take(node: ir.Node, position: int, index: ir.Value, *, axis: int) -> None:
    assert node.graph is not None
    gather = ir.node("Gather", [node.inputs[position], index], {"axis": axis})
    gather.outputs[0].name = f"pool/{node.outputs[0].name}/{position}"
    node.graph.insert_before(node, gather)
    node.replace_input_with(position, gather.outputs[0])


def _constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


def _attribute(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _rank(value: ir.Value | None) -> int | None:
    if value is not None and value.const_value is not None:
        return len(value.const_value.shape)
    return None if value is None or value.shape is None else len(value.shape)


def _is_matrix(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and _rank(value) == 2


def _export(model: Any, opset: int) -> ir.Model:
    known = inspect.signature(model.forward).parameters
    names = [name for name in INPUTS if name in known]
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with _quiet():
        program = torch.onnx.export(
            model,
            (),
            # One tensor for all would make them one input.
            kwargs={name: torch.ones((2, 16), dtype=torch.int64) for name in names},
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(names, free),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model


def _difference(model: Any, proto: Any, checkpoint: Checkpoint) -> float:
    """The largest difference of logits from torch's, over batches of made-up tokens."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    known = inspect.signature(model.forward).parameters
    read = {value.name for value in session.get_inputs()}
    worst = 0.0
    for lengths in ((5,), (3, 17, 24, 9), (16, 16)):
        feed = _made_up(model, checkpoint, lengths)
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(feed[name]) for name in feed if name in known}
            exact = model(**tensors).logits.float().numpy()
        (logits,) = session.run(["logits"], {name: feed[name] for name in feed if name in read})
        scale = max(1.0, float(np.abs(exact).max()))
        worst = max(worst, float(np.abs(np.asarray(logits) - exact).max()) / scale)
    return worst


def _made_up(
    model: Any, checkpoint: Checkpoint, lengths: tuple[int, ...]
) -> dict[str, NDArray[np.int64]]:
    random = np.random.default_rng(0)
    width = -(-max(lengths) // 8) * 8
    ids = random.integers(0, model.config.vocab_size, size=(len(lengths), width))
    ids[ids == checkpoint.pad_id] = (checkpoint.pad_id + 1) % model.config.vocab_size
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, ids, checkpoint.pad_id)
    types = min(int(getattr(model.config, "type_vocab_size", 1) or 1), 2)
    # The second half of each row is its second segment.
    second = (np.arange(width)[None] * 2 >= np.array(lengths)[:, None]) & (mask == 1)
    return {
        "input_ids": ids.astype(np.int64),
        "attention_mask": mask,
        "token_type_ids": (second & (types > 1)).astype(np.int64),
    }


def _cause(error: BaseException) -> str:
    """The first line of what lies at the bottom: the exporter's own report fills a page."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
