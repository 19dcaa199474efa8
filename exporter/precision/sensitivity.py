"""What flows between the operators of the 32-bit model on a few inputs: the evidence for what has to stay 32-bit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from exporter.arrays import Tensors
from exporter.exported import Exported
from exporter.precision.files import constant
from exporter.precision.half import LARGEST, with_names
from exporter.precision.rows import LEVELS, WEIGHT_LEVELS, matrix_of, rounded

PROBED_ROWS, PROBED_INPUTS = 8, 8
"""Rows of each input that are looked at, and inputs: a few show which values are large."""
PROBED_VECTORS = 128
"""Vectors of each tensor that are multiplied, to see what 8 bits make of them."""
SMALLEST_NORM = 1e-12
HEADROOM = 0.5
"""Values beyond this share of the range leave it with other inputs."""


def probed(inputs: Sequence[Tensors]) -> list[Tensors]:
    """The first rows of some of these inputs, of those with the most rows first."""
    chosen = sorted(inputs, key=lambda one: -len(next(iter(one.values()))))[:PROBED_INPUTS]
    return [{name: array[:PROBED_ROWS] for name, array in one.items()} for one in chosen]


def flowing(
    path: Path, names: Collection[str], inputs: Sequence[Tensors]
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """The values of these names on each of the inputs, as the 32-bit model computes them."""
    model = onnx.load(path, load_external_data=False)
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(set(names) - known))
    # Beside the original: that is where its weights are looked for.
    beside = path.with_name("probe.onnx")
    onnx.save(model, beside)
    try:
        exported = Exported(beside)
        for one in inputs:
            values = {**one, **exported.answers(one)}
            chosen = {name: values[name] for name in names if name in values}
            yield {
                name: array.astype(np.float32, copy=False)
                for name, array in chosen.items()
                if array.dtype == np.float32
            }
    finally:
        beside.unlink()


def out_of_range(path: Path, inputs: Sequence[Tensors]) -> set[str]:
    """The nodes that read or write a number that 16-bit floats cannot hold."""
    model = with_names(onnx.load(path))
    large = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and _is_large(onnx.numpy_helper.to_array(tensor))
    }
    named = {name for node in model.graph.node for name in (*node.input, *node.output) if name}
    named -= {tensor.name for tensor in model.graph.initializer}
    for values in flowing(path, named, inputs):
        large |= {name for name, array in values.items() if _is_large(array)}
    return {node.name for node in model.graph.node if large & {*node.input, *node.output}}


def _is_large(array: NDArray[np.generic]) -> bool:
    numbers = array[np.isfinite(array)]
    # Masks are written as the largest number there is; the converter knows those.
    numbers = np.abs(numbers[np.abs(numbers) < np.finfo(np.float32).max])
    return bool(numbers.size and numbers.max() > HEADROOM * LARGEST)


def losses(path: Path, nodes: Sequence[ir.Node], inputs: Sequence[Tensors]) -> dict[str, float]:
    """How much each node loses to 8 bits, by its name: the relative error of what it gives for what flows into it.

    Of a convolution it is the error of its weight and of its input, of a table that of its entries.
    """
    read = {value.name for node in nodes if (value := node.inputs[0]) is not None and value.name is not None}
    seen: dict[str, list[NDArray[np.float32]]] = {}
    for values in flowing(path, read, inputs):
        for name, array in values.items():
            seen.setdefault(name, []).append(_some_rows(array))
    found = {}
    for node in nodes:
        assert node.name is not None
        assert node.inputs[0] is not None
        flowed = [array for array in seen.get(str(node.inputs[0].name), []) if len(array)]
        found[node.name] = _loss(node, flowed)
    return found


def _loss(node: ir.Node, flowed: Sequence[NDArray[np.float32]]) -> float:
    if node.op_type in ("Gather", "Conv"):
        held = constant(node.inputs[0 if node.op_type == "Gather" else 1])
        assert held is not None
        matrix = held.numpy()
        entries = matrix.reshape(len(matrix), -1)
        levels = LEVELS if node.op_type == "Gather" else WEIGHT_LEVELS
        return float(np.hypot(_rounding(entries, levels), max(map(_rounding, flowed), default=0.0)))
    weight = matrix_of(node)
    codes, scales = rounded(weight, axis=0, levels=WEIGHT_LEVELS)
    worst = 0.0
    for rows in flowed:
        row_codes, row_scales = rounded(rows, axis=1)
        wanted = rows @ weight
        lost = float(np.linalg.norm((row_codes * row_scales) @ (codes * scales) - wanted))
        worst = max(worst, lost / max(float(np.linalg.norm(wanted)), SMALLEST_NORM))
    return worst


def _some_rows(array: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = array.reshape(-1, array.shape[-1])
    rows = rows[np.abs(rows).max(axis=1, initial=0) > 0]
    some: NDArray[np.float32] = rows[:: max(1, len(rows) // PROBED_VECTORS)]
    return some


def _rounding(rows: NDArray[np.float32], levels: int = LEVELS) -> float:
    """The relative error that bytes of at most `levels` make in a row, on average over all rows."""
    rows = _some_rows(rows)
    if not len(rows):
        return 0.0
    codes, scales = rounded(rows, axis=1, levels=levels)
    errors = np.linalg.norm(codes * scales - rows, axis=1) / np.linalg.norm(rows, axis=1)
    return float(errors.mean())
