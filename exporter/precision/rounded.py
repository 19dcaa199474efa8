"""A 16-bit model as a GPU computes it, for a processor: in 32 bits, with every result rounded to 16.

ONNX Runtime runs a 16-bit model on a processor in 32 bits from end to end, so its answers there say nothing about
what overflows or gets lost in 16. The twin that is written here rounds behind every operator.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper

from exporter.errors import ExportError

MADE_OF_ATTRIBUTES = ("Cast", "Constant", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform")
"""Operators whose result is 16-bit because they say so, not because their inputs are."""


def write_rounded(path: Path) -> Path:
    """Writes the twin of a 16-bit model beside it, where it finds its weights; returns its path.

    Raises ExportError for models with branches or loops, which have no twin.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(path, load_external_data=False))
    graph = model.graph
    for node in graph.node:
        if any(attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for attribute in node.attribute):
            raise ExportError(
                f"--precision fp16 cannot be proven for models with branches or loops ({node.op_type} {node.name}); "
                "use fp32"
            )
    half = {
        value.name
        for value in (*graph.input, *graph.output, *graph.value_info)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    constants = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    outside = {value.name for value in graph.input} & half | constants
    wide = {name: f"{name}_wide" for name in half | constants}
    nodes = [_cast(name, wide[name], TensorProto.FLOAT) for name in sorted(outside)]
    for node in graph.node:
        nodes += _widened(node, half, wide)
    nodes += [_cast(wide[value.name], value.name, TensorProto.FLOAT16) for value in graph.output if value.name in half]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    twin = path.with_name("rounded.onnx")
    onnx.save(model, twin)
    return twin


def _widened(node: NodeProto, half: set[str], wide: dict[str, str]) -> list[NodeProto]:
    """The node in 32 bits, and behind it the rounding of what it gives."""
    new = NodeProto()
    new.CopyFrom(node)
    new.input[:] = [wide.get(name, name) for name in node.input]
    nodes = [new]
    for index, name in enumerate(node.output):
        if name not in half:
            continue
        exact, rounded = f"{name}_exact", f"{name}_rounded"
        if node.op_type in MADE_OF_ATTRIBUTES:
            new.output[index] = rounded
        else:
            new.output[index] = exact
            nodes.append(_cast(exact, rounded, TensorProto.FLOAT16))
        nodes.append(_cast(rounded, wide[name], TensorProto.FLOAT))
    return nodes


def _cast(name: str, to: str, dtype: int) -> NodeProto:
    return helper.make_node("Cast", [name], [to], f"{to}_cast", to=dtype)
