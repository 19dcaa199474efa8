"""Inputs of any batch size and length, made from the one example that a source gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exporter.arrays import Array, Tensors

Axes = Mapping[str, Mapping[int, str]]
"""The moving axes of each input, counted with the batch axis as 0 and without it: `{"image": {2: "height"}}`."""

Ranges = Mapping[str, tuple[int, int]]
"""The shortest and the longest length of an axis, by its name."""


def lengths_of(examples: Tensors, axes: Axes) -> dict[str, int]:
    """How long each moving axis is in the examples, by its name."""
    return {name: examples[tensor].shape[axis] for tensor, named in axes.items() for axis, name in named.items()}


def other_lengths(lengths: Mapping[str, int], ranges: Ranges) -> list[dict[str, int]]:
    """Lengths besides these, each within its range: one longer, twice as long, half as long, as far as that goes."""
    found: list[dict[str, int]] = []
    for factor, more in ((1, 1), (2, 0), (0.5, 0)):
        tried = {}
        for name, length in lengths.items():
            shortest, longest = ranges.get(name, (1, 2 * length + 1))
            tried[name] = min(max(1, shortest, int(length * factor) + more), longest)
        if tried != lengths and tried not in found:
            found.append(tried)
    return found


def resampled(
    examples: Tensors, axes: Axes, batch: int, lengths: Mapping[str, int], random: np.random.Generator
) -> dict[str, Array]:
    """Inputs of `batch` rows and these lengths, whose elements are drawn from the example of the same tensor.

    So every index stays in its range and every mask stays a mask. Floats that are all alike say nothing, as in
    `torch.zeros(1, 3, 224, 224)`: those are drawn from a normal distribution.
    """
    return {
        name: _drawn(example, _shape(example, axes.get(name, {}), batch, lengths), random)
        for name, example in examples.items()
    }


def _shape(example: Array, named: Mapping[int, str], batch: int, lengths: Mapping[str, int]) -> tuple[int, ...]:
    moved = [lengths[named[axis]] if axis in named else size for axis, size in enumerate(example.shape)]
    return (batch, *moved[1:])


def _drawn(example: Array, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if example.size == 0 or (np.issubdtype(example.dtype, np.floating) and (example == example.flat[0]).all()):
        return random.standard_normal(shape).astype(example.dtype)
    chosen: NDArray[np.generic] = random.choice(example.reshape(-1), size=shape)
    return chosen
