"""The batch axis of an ONNX file that was written for a fixed number of rows: made to move, where that is sound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from exporter.arrays import Array, Tensors, joined
from exporter.errors import ExportError, SourceError, first_line
from exporter.graph.settle import BATCH

Answer = Callable[[Tensors], Tensors]
AGAIN = "export it again with a dynamic first axis"
TOLD_SHAPES = ("Reshape", "Expand")
"""Operators whose second input is a shape, in which the number of rows is often written down."""
NODES = (
    re.compile(r"running (?P<operator>\w+) node\. Name:'(?P<name>[^']*)'"),
    re.compile(r"Node \((?P<name>[^)]*)\) Op \((?P<operator>\w+)\)"),
)
"""How ONNX Runtime names the node at which it stops, running and loading."""
NEAR = 1e-3
"""How far apart, by the size of the largest answer, are still the same numbers added up in another order."""


def fixed_rows(label: str, model: onnx.ModelProto) -> int | None:
    """For how many rows the inputs of a graph are made; None where a first axis moves. Raises SourceError."""
    weights = {one.name for one in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not all(map(_is_fixed, inputs)):
        return None
    lengths = {value.name: value.type.tensor_type.shape.dim[0].dim_value for value in inputs}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SourceError(f"{label}: the first axes of the inputs have different fixed lengths: {told}; {AGAIN}")
    return next(iter(lengths.values()), None)


def with_moving_rows(model: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """A copy whose inputs and outputs take and give any number of rows, as far as they say; the rest must be proven.

    Shapes of inner values are dropped: they are those of the old number of rows. Where an operator is told a shape that
    begins with that number, it is told to find the number out.
    """
    moving = onnx.ModelProto()
    moving.CopyFrom(model)
    for value in (*moving.graph.input, *moving.graph.output):
        if _is_fixed(value) and value.type.tensor_type.shape.dim[0].dim_value == rows:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
    for graph in _graphs(moving.graph):
        graph.ClearField("value_info")
        if graph is not moving.graph:
            for value in graph.output:
                value.type.tensor_type.ClearField("shape")
    _tell_shapes(moving.graph, rows)
    return moving


def _tell_shapes(graph: onnx.GraphProto, rows: int) -> None:
    shapes = dict(_constant_shapes(graph))
    told = []
    for node in graph.node:
        shape = shapes.get(node.input[1]) if node.op_type in TOLD_SHAPES else None
        if shape is None or shape[0] != rows:
            continue
        if node.op_type == "Expand":
            free = 1  # as many as there are
        elif -1 not in shape:
            free = -1  # what is left
        elif 0 in shape:
            continue
        else:
            free = 0  # as many as come in
            _forget(node, "allowzero")
        name = f"{node.output[0]}/rows_move"
        tensor = numpy_helper.from_array(np.array([free, *shape[1:]], np.int64))
        told.append(helper.make_node("Constant", [], [name], value=tensor))
        node.input[1] = name
    old = list(graph.node)
    graph.ClearField("node")
    graph.node.extend([*told, *old])


def _forget(node: onnx.NodeProto, name: str) -> None:
    """Without `allowzero`, 0 is no length but says that the length stays."""
    kept = [one for one in node.attribute if one.name != name]
    node.ClearField("attribute")
    node.attribute.extend(kept)


def _constant_shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, list[int]]]:
    """Constants that can be the shape of something with an axis of rows and another."""
    tensors = [(one.name, one) for one in graph.initializer]
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                tensors.append((node.output[0], attribute.t))
            elif attribute.name == "value_ints" and len(attribute.ints) > 1:
                yield node.output[0], list(attribute.ints)
    for name, tensor in tensors:
        is_inside = tensor.data_location != onnx.TensorProto.EXTERNAL
        if is_inside and tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1 and tensor.dims[0] > 1:
            yield name, numpy_helper.to_array(tensor).tolist()


def in_groups(answer: Answer, rows: int, inputs: Tensors) -> dict[str, Array]:
    """Any number of rows asked of a model that takes a fixed number: the last group is filled with its last row."""
    count = len(next(iter(inputs.values())))
    answers = []
    for start in range(0, count, rows):
        chosen = np.minimum(np.arange(start, start + rows), count - 1)
        answers.append(answer({name: array[chosen] for name, array in inputs.items()}))
    return {name: array[:count] for name, array in joined(answers).items()}


def prove_moving(
    label: str, rows: int, made: Callable[[int], Tensors], original: Answer, load: Callable[[], Answer]
) -> None:
    """Asks a file and its copy with a moving batch axis the same. Raises SourceError, with the node if it is known."""
    if rows > 1:
        _refuse_mixing(label, rows, made, original)
    moving: Answer | None = None
    # Other numbers than the file's first: there ONNX Runtime names the node that stands in the way.
    for count in (rows + 1, 2 * rows + 1, rows, 1):
        inputs = made(count)
        try:
            moving = moving or load()
            found = moving(inputs)
        except ExportError as error:
            raise _baked(label, rows, str(error)) from error
        for name, wanted in in_groups(original, rows, inputs).items():
            if found[name].shape != wanted.shape:
                raise _baked(label, rows, f"output {name} is {list(found[name].shape)} for {count} rows")
            if not _near(wanted, found[name]):
                raise SourceError(
                    f"{label} answers {count} rows at once otherwise than {rows} at a time (output {name}), so its "
                    f"batch axis cannot move; {AGAIN}"
                )


def _refuse_mixing(label: str, rows: int, made: Callable[[int], Tensors], original: Answer) -> None:
    one, other = made(rows), made(rows + 1)
    beside = {name: np.concatenate([one[name][:1], other[name][1:rows]]) for name in one}
    first, again = original(one), original(beside)
    for name, answer in first.items():
        if not _near(answer[:1], again[name][:1]):
            raise SourceError(
                f"{label} takes {rows} rows at once, and its answer for one depends on the others (output {name}), so "
                "its batch axis cannot move and requests cannot be batched"
            )


def _near(wanted: Array, found: Array) -> bool:
    if not np.issubdtype(wanted.dtype, np.floating):
        return np.array_equal(wanted, found)
    # Only to tell a wrong row from a right one; how near they are is proven later, with the limits of the export.
    return np.allclose(wanted, found, rtol=NEAR, atol=NEAR * float(np.abs(wanted).max(initial=0.0)), equal_nan=True)


def _baked(label: str, rows: int, why: str) -> SourceError:
    named = next(filter(None, (one.search(why) for one in NODES)), None)
    if named is None:
        return SourceError(
            f"{label}: its batch axis is baked in as {rows}: {first_line(ValueError(why))}; {AGAIN}", why
        )
    what, name = named["operator"], named["name"]
    node = f"node {name} ({what})" if name else f"a node {what}"
    return SourceError(f"{label}: its batch axis is baked in as {rows} by {node}; {AGAIN}", why)


def _is_fixed(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return bool(tensor.HasField("shape") and tensor.shape.dim and tensor.shape.dim[0].HasField("dim_value"))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(inner)
