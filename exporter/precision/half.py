"""16-bit floats, by the converter that ONNX Runtime ships: it keeps up with the operators, and is installed anyway.

Inputs and outputs stay as they are. Processors have next to no 16-bit kernels: there ONNX Runtime computes in 32 bits
between casts, which takes half the disk and rather more time. The gain is on GPUs.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx
import onnx.external_data_helper
import onnx_ir as ir

from exporter.chatter import captured
from exporter.precision.files import write
from exporter.target import LARGEST_INLINE_BYTES

SENSITIVE = (
    "Exp",
    "LayerNormalization",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Pow",
    "ReduceL2",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Reciprocal",
    "Softmax",
    "Sqrt",
)
"""Operators that add up many numbers or leave the range of 16 bits soonest."""
LARGEST = 65504.0
"""The largest 16-bit float."""


def write_half(path: Path, to: Path, kept: Collection[str], largest_inline_bytes: int = LARGEST_INLINE_BYTES) -> None:
    """Writes the model of `path` with 16-bit floats to `to`; the nodes of these names stay 32-bit.

    The weights are in memory once as 32-bit floats; all else is done without them, so that 2 GB are no limit.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.shape_inference.infer_shapes(with_names(onnx.load(path, load_external_data=False)))
    onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    with captured():
        model = convert_float_to_float16(
            model, keep_io_types=True, disable_shape_infer=True, node_block_list=sorted(kept)
        )
    _join_kept(model.graph)
    del model.graph.value_info[:]  # written before the casts, and not right for all of them
    lowered = ir.from_proto(model)
    lowered.graph.sort()  # the converter puts its casts at the end
    write(lowered, to, largest_inline_bytes)


def _join_kept(graph: onnx.GraphProto) -> None:
    """What goes from one kept node to another stays 32-bit: the converter narrows and widens it between them."""
    narrowed = {node.output[0]: node.input[0] for node in graph.node if node.name.endswith("_cast_to_fp16_node")}
    widened = {
        node.output[0]: narrowed[node.input[0]]
        for node in graph.node
        if node.name.endswith("_cast_to_fp32_node") and node.input[0] in narrowed
    }
    for node in graph.node:
        node.input[:] = [widened.get(name, name) for name in node.input]
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    # Widening casts are gone once nothing reads them, and so are the narrowing ones that only they read.
    unread = [node for node in graph.node if node.output[0] in {*widened, *narrowed} - used]
    still = [node for node in graph.node if node not in unread]
    del graph.node[:]
    graph.node.extend(still)


def with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, after every node of its graph got a name of its own where it had none."""
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)
    return model
