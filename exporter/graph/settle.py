"""The ONNX graph gets the names and shapes that were promised, and loses what must not travel."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from exporter.errors import ConversionError
from exporter.graph.names import give_outputs_their_own_values, make_room
from triton_models.tensors import TensorSpec

BATCH = "batch"


def settle(
    model: ir.Model,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    axes: dict[str, dict[int, str]],
) -> None:
    """Names inputs and outputs, in place, and declares their shapes as `inputs` and `outputs` say.

    `axes` names the moving axes of inputs, counted with the batch axis as 0. Raises ConversionError where the graph has
    one length for an axis that is to move.
    """
    graph = model.graph
    give_outputs_their_own_values(graph)
    make_room(graph, {spec.name for spec in (*inputs, *outputs)})
    for value, spec in zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True):
        value.name = spec.name
    _forget_guesses_and_origins(model)
    symbols: dict[str, str] = {}
    for value, spec in zip(graph.inputs, inputs, strict=True):
        symbols |= _declare_input(value, spec, axes)
    for value, spec in zip(graph.outputs, outputs, strict=True):
        _declare_output(value, spec, symbols)


def _declare_input(value: ir.Value, spec: TensorSpec, axes: dict[str, dict[int, str]]) -> dict[str, str]:
    """Names the moving axes; returns what the graph called them -> what they are called now."""
    names = {0: BATCH, **axes.get(spec.name, {})}
    shape: list[int | str] = [-1, *spec.shape]
    symbols = {}
    for axis, name in names.items():
        found = value.shape[axis] if value.shape is not None else None
        if isinstance(found, int):
            raise ConversionError(fixed_axis(spec, axis, axes, found))
        if found is not None:
            symbols[str(found.value)] = name
        shape[axis] = name
    value.shape = ir.Shape(shape)
    return symbols


def _declare_output(value: ir.Value, spec: TensorSpec, symbols: dict[str, str]) -> None:
    """What was seen counts, not what the graph says: PyTorch writes the example's length behind recurrent layers."""
    found = list(value.shape) if value.shape is not None else []
    shape: list[int | str | None] = [BATCH, *spec.shape]
    for axis, size in enumerate(shape):
        if size == -1:
            dim = found[axis] if axis < len(found) else None
            symbol = str(dim.value) if isinstance(dim, ir.SymbolicDim) and dim.value is not None else None
            shape[axis] = symbols.get(symbol, symbol) if symbol is not None else None
    value.shape = ir.Shape(shape)


def fixed_axis(spec: TensorSpec, axis: int, axes: dict[str, dict[int, str]], length: int) -> str:
    """What is wrong, and where to look, when an axis that is to move has one length."""
    name = BATCH if axis == 0 else axes.get(spec.name, {}).get(axis, "moving")
    return (
        f"the {name} axis of {spec.name} (axis {axis}) became the fixed length {length}; look in the model for a shape "
        "that is used as a Python number (a loop over rows, view(2, ...), a constant made for one batch)"
    )


def _forget_guesses_and_origins(model: ir.Model) -> None:
    """Inner shapes can be wrong, and ONNX Runtime finds them itself; traces and paths of a machine are no model."""
    model.metadata_props.clear()
    kept = {id(value) for value in model.graph.outputs}
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.outputs):
            value.metadata_props.clear()
        for node in ir.traversal.RecursiveGraphIterator(graph):
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
                if id(value) not in kept:
                    value.shape = None
