"""Puts cast, scale, normalisation and layout in front of an ONNX graph. Weights in other files are not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from exporter.errors import ConversionError, first_line
from exporter.graph.names import make_room
from exporter.graph.settle import BATCH
from triton_models.tensors import TensorSpec, dtype_of

Numbers = NDArray[np.float64]
PREFIX = "rayton_image"
"""How the new values inside the graph are called."""


@dataclass(frozen=True)
class Normalisation:
    """`(pixel * scale - mean) / std` for each channel, then `layout`."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str


def put_in_front(
    path: Path, inner: TensorSpec, image: TensorSpec, normalisation: Normalisation, outputs: Sequence[TensorSpec]
) -> None:
    """Gives the graph in `path` the input `image` [height, width, channels] in place of `inner`.

    `outputs` are the shapes that it has now, where height and width no longer move. Raises ConversionError.
    """
    model = ir.load(path)
    graph = model.graph
    (place,) = (place for place, value in enumerate(graph.inputs) if value.name == inner.name)
    before = graph.inputs[place]
    make_room(graph, {image.name})
    batch = before.shape[0] if before.shape is not None else BATCH
    pixels = ir.Value(name=image.name, shape=ir.Shape([batch, *image.shape]), type=_type(image))
    nodes = _steps(graph, pixels, image, inner, normalisation)
    before.replace_all_uses_with(nodes[-1].outputs[0], replace_graph_outputs=True)
    graph.inputs[place] = pixels
    if len(graph) > 0:
        graph.insert_before(graph[0], nodes)
    else:
        graph.extend(nodes)
    shapes = {spec.name: spec for spec in outputs}
    for value in graph.outputs:
        _declare(value, shapes[value.name or ""])
    ir.save(model, path)
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"{inner.name} cannot become an image: {first_line(error)}", str(error)) from error


def _steps(
    graph: ir.Graph, pixels: ir.Value, image: TensorSpec, inner: TensorSpec, normalisation: Normalisation
) -> list[ir.Node]:
    """Channels first, a cast, one product and sum; then the layout and the type of float that are wanted.

    Pixels are put in order while they are bytes, and normalised in one pass: with a product and a sum in the order in
    which they come, three numbers over three neighbours, ONNX Runtime takes ten times as long.
    """
    mean, std = (np.resize(numbers, image.shape[-1]) for numbers in (normalisation.mean, normalisation.std))
    numbers = {"factor": normalisation.scale / std, "offset": -mean / std, "none": 0 * std, "one": std / std}
    factors = [_constant(graph, name, one) for name, one in numbers.items()]
    nodes = [ir.node("Transpose", [pixels], {"perm": [0, 3, 1, 2]})]
    nodes.append(ir.node("Cast", [nodes[-1].outputs[0]], {"to": ir.DataType.FLOAT}))
    nodes.append(ir.node("BatchNormalization", [nodes[-1].outputs[0], *factors], {"epsilon": 0.0}))
    if normalisation.layout == "nhwc":
        nodes.append(ir.node("Transpose", [nodes[-1].outputs[0]], {"perm": [0, 2, 3, 1]}))
    if inner.dtype != "FP32":
        nodes.append(ir.node("Cast", [nodes[-1].outputs[0]], {"to": _type(inner).dtype}))
    for number, node in enumerate(nodes):
        node.name = node.outputs[0].name = f"{PREFIX}_{number}"
    return nodes


def _constant(graph: ir.Graph, name: str, numbers: Numbers) -> ir.Value:
    tensor = ir.tensor(numbers.astype(np.float32), name=f"{PREFIX}_{name}")
    value = ir.Value(
        name=tensor.name, shape=ir.Shape(numbers.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def _type(spec: TensorSpec) -> ir.TensorType:
    return ir.TensorType(ir.DataType(dtype_of(spec.dtype).onnx))


def _declare(value: ir.Value, spec: TensorSpec) -> None:
    found = list(value.shape or ())[1:]
    known = [size if size != -1 else dim for size, dim in zip(spec.shape, found, strict=True)]
    value.shape = ir.Shape([value.shape[0] if value.shape is not None else BATCH, *known])
