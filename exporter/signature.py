"""What a model takes and gives, found by looking at its tensors."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.arrays import Array, Tensors
from exporter.errors import SourceError
from exporter.samples import Axes
from triton_models.tensors import TensorSpec, dtype_of_numpy


def specs_of(arrays: Tensors, axes: Axes) -> tuple[TensorSpec, ...]:
    """What tensors like these are to Triton. Raises ConfigError for a type that has no tensor type."""
    return tuple(
        TensorSpec(
            name,
            dtype_of_numpy(array.dtype).triton,
            tuple(-1 if axis in axes.get(name, {}) else size for axis, size in enumerate(array.shape) if axis > 0),
        )
        for name, array in arrays.items()
    )


def specs_seen(inputs: Sequence[Tensors], answers: Sequence[Tensors]) -> tuple[TensorSpec, ...]:
    """What a model gives, seen from runs that differ in their number of rows and in the length of every moving axis.

    Raises SourceError for an output whose first axis is not the row.
    """
    moving: dict[str, dict[int, str]] = {}
    for name, first in answers[0].items():
        for asked, given in zip(inputs, answers, strict=True):
            rows, found = len(next(iter(asked.values()))), given[name]
            if found.shape[:1] != (rows,) or found.ndim != first.ndim:
                raise SourceError(
                    f"output {name} has shape {list(found.shape)} for {rows} rows; its first axis must be the row"
                )
        shapes = [given[name].shape for given in answers]
        moving[name] = {axis: "" for axis in range(1, first.ndim) if len({shape[axis] for shape in shapes}) > 1}
    return specs_of(answers[0], moving)


def fits(spec: TensorSpec, array: Array) -> bool:
    """Whether an array, with its batch axis, is what a model promises to take or give."""
    shape = array.shape[1:]
    return array.ndim > 0 and len(shape) == len(spec.shape) and all(map(_fits, spec.shape, shape))


def _fits(promised: int, found: int) -> bool:
    return promised in (-1, found)
