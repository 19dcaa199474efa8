"""The files of an ONNX model: read without loading the weights, written beside their old ones, put in their place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from exporter.target import LARGEST_INLINE_BYTES

MODEL = "model.onnx"
WEIGHTS = "model.onnx.data"


def data_files(path: Path) -> list[Path]:
    """The files beside a model that hold its weights."""
    model = onnx.load(path, load_external_data=False)
    names = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return sorted(path.parent / name for name in names)


def bytes_of(path: Path) -> int:
    """What a model weighs on disk, its weights included."""
    return sum(file.stat().st_size for file in (path, *data_files(path)))


def read(path: Path) -> ir.Model:
    """A model whose weights stay on disk until they are asked for, if they lie in a file of their own."""
    return ir.load(path)


def write(model: ir.Model, path: Path, largest_inline_bytes: int = LARGEST_INLINE_BYTES) -> None:
    """Writes a model; weights beyond `largest_inline_bytes` go into a file of their own, under its final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = (value.const_value for value in model.graph.initializers.values())
    is_large = sum(tensor.nbytes for tensor in weights if tensor is not None) > largest_inline_bytes
    ir.save(model, path, external_data=WEIGHTS if is_large else None)


def move(path: Path, folder: Path) -> Path:
    """Renames a model and its weights into another folder of the same file system; returns where the model is now."""
    for file in (*data_files(path), path):
        place = folder / file.relative_to(path.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    return folder / path.name


def nodes_with_names(model: ir.Model) -> Iterator[ir.Node]:
    """The nodes of the graph; those without a name of their own get one, so that they can be told apart."""
    seen: set[str] = set()
    for index, node in enumerate(model.graph):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)
        yield node


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The 32-bit floats of a constant that is not also an input, else None."""
    if value is None or value.const_value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return value.const_value if value.const_value.dtype == ir.DataType.FLOAT else None


def forget_unused(model: ir.Model) -> None:
    """Takes out constants that nothing reads any more."""
    unused = [
        name
        for name, value in model.graph.initializers.items()
        if not value.uses() and not value.is_graph_output() and not value.is_graph_input()
    ]
    for name in unused:
        del model.graph.initializers[name]
