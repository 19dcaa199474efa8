"""Columns of activations that are always large are made smaller, and their weights larger by as much.

The product stays what it was, but 8 bits lose less of it: a row's steps are as coarse as its largest number asks for,
and in transformers that number sits in the same few columns for every row. How the burden is shared between activations
and weights follows SmoothQuant (arXiv 2211.10438, equation 4, with equal shares).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from exporter.arrays import Tensors
from exporter.precision.rows import is_product, matrix_of
from exporter.precision.sensitivity import flowing

UNEVEN = 4.0
"""Only where the largest column reaches so many times further than the middle one is evening worth a multiplication."""
SMALLEST = 1e-5
"""Columns that were not seen to move are taken for this."""

Factors = Mapping[str, NDArray[np.float32]]
"""By the name of the activations: what each of their columns is divided by, and each row of the weights multiplied."""


def evened(path: Path, nodes: Sequence[ir.Node], inputs: Sequence[Tensors]) -> Factors:
    """The factors for the activations of those nodes whose columns are uneven on these inputs.

    Activations that are wider than what is made of them are left out: there it costs most, and helps least.
    """
    readers: dict[str, list[ir.Node]] = {}
    for node in filter(is_product, nodes):
        assert node.inputs[0] is not None
        readers.setdefault(str(node.inputs[0].name), []).append(node)
    readers = {name: found for name, found in readers.items() if _width(found) >= len(matrix_of(found[0]))}
    reaches: dict[str, NDArray[np.float32]] = {}
    for values in flowing(path, readers.keys(), inputs):
        for name, array in values.items():
            reach = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0, initial=SMALLEST)
            reaches[name] = np.maximum(reaches.get(name, reach), reach)
    return {
        name: _factors(reach, readers[name])
        for name, reach in reaches.items()
        if reach.max() >= UNEVEN * np.median(reach)
    }


def _width(readers: Sequence[ir.Node]) -> int:
    return sum(matrix_of(node).shape[1] for node in readers)


def _factors(reach: NDArray[np.float32], readers: Sequence[ir.Node]) -> NDArray[np.float32]:
    weights = np.maximum(np.max([np.abs(matrix_of(node)).max(axis=1) for node in readers], axis=0), SMALLEST)
    factors = np.sqrt(reach / weights)
    evenly: NDArray[np.float32] = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return evenly
