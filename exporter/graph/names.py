"""Names in an ONNX graph: inputs and outputs are called as promised, and every name means one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from exporter.errors import ConversionError


def rename_file(path: Path, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Names the inputs and outputs of a file anew and cuts off the outputs that are not named, in place.

    Weights that lie in files of their own are not read; a file whose weights nothing needs any more is removed.
    """
    model = ir.load(path)
    before = _data_files(model)
    rename(model, inputs, outputs)
    ir.save(model, path)
    for name in before - _data_files(model):
        (path.parent / name).unlink()


def rename(model: ir.Model, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Names the inputs and outputs of a graph anew, in place, and cuts off the outputs that are not named.

    What only those needed leaves the graph with them; inputs stay. Raises ConversionError for a name that is not there.
    """
    graph = model.graph
    missing = set(outputs) - {value.name for value in graph.outputs} | set(inputs) - {v.name for v in graph.inputs}
    if missing:
        raise ConversionError(f"the graph has no {', '.join(sorted(missing))}, which its source promised")
    kept = [value for value in graph.outputs if value.name in outputs]
    names = [outputs[value.name or ""] for value in kept]
    graph.outputs.clear()
    graph.outputs.extend(kept)
    RemoveUnusedNodesPass()(model)
    renamed = [value for value in graph.inputs if value.name in inputs]
    names = [*(inputs[value.name or ""] for value in renamed), *names]
    give_outputs_their_own_values(graph)
    make_room(graph, set(names))
    for value, name in zip((*renamed, *graph.outputs), names, strict=True):
        value.name = name


def give_outputs_their_own_values(graph: ir.Graph) -> None:
    """An output that is an input, a constant or another output needs a value of its own to bear its name."""
    taken = {id(value) for value in graph.inputs} | {id(value) for value in graph.initializers.values()}
    for index, value in enumerate(graph.outputs):
        if id(value) in taken:
            copy = ir.node("Identity", [value])
            copy.outputs[0].shape, copy.outputs[0].type = value.shape, value.type
            graph.append(copy)
            graph.outputs[index] = copy.outputs[0]
        taken.add(id(graph.outputs[index]))


def make_room(graph: ir.Graph, wanted: set[str]) -> None:
    """Inner values that are called like an input or output get another name; a name must mean one value."""
    values = list(_values(graph))
    used = wanted | {value.name for value in values if value.name is not None}
    for value in values:
        if value.name in wanted:
            value.name = _free(value.name, used)


def _free(name: str, used: set[str]) -> str:
    number = 1
    while f"{name}_{number}" in used:
        number += 1
    used.add(f"{name}_{number}")
    return f"{name}_{number}"


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    """Every value of the graph and of the graphs inside its nodes, once."""
    seen: set[int] = set()
    for value in _all_values(graph):
        if id(value) not in seen:
            seen.add(id(value))
            yield value


def _all_values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs
        for attribute in node.attributes.values():
            for inner in _graphs(attribute):
                yield from inner.inputs
                yield from inner.initializers.values()


def _graphs(attribute: ir.Attr) -> Sequence[ir.Graph]:
    if attribute.is_ref():
        return ()
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.as_graph(),)
    return tuple(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else ()


def _data_files(model: ir.Model) -> set[str]:
    weights = (value.const_value for value in _all_values(model.graph))
    return {str(weight.location) for weight in weights if isinstance(weight, ir.ExternalTensor)}
