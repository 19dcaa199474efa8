"""How far answers are from those that are wanted, in numbers, and whether that is near enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from exporter.arrays import Array, Tensors
from exporter.errors import ParityError
from exporter.limits import Limits
from exporter.signature import fits
from triton_models.card import Check
from triton_models.tensors import TensorSpec

NOT_TINY = 1e-2
"""Elements are asked for their relative difference if they have at least this share of the largest one's size."""


def compare(
    label: str,
    outputs: Sequence[TensorSpec],
    wanted: Tensors,
    found: Tensors,
    limits: Limits,
    batch: int,
    fault: str,
) -> list[Check]:
    """One check for each output. Raises ParityError for a difference beyond the limit, and for answers not finite."""
    checks = []
    for spec in outputs:
        check = measured(label, spec, wanted[spec.name], found[spec.name], limits, batch)
        if not passes(check, limits):
            raise ParityError(
                f"output {spec.name} differs by {check.max_abs:.3g} (limit {check.limit:.3g}), cosine "
                f"{check.cosine:.6f}, at batch {batch} ({label}): {fault}. Nothing was published"
            )
        checks.append(check)
    return checks


def passes(check: Check, limits: Limits) -> bool:
    """Whether a check is within its limits."""
    return check.max_abs <= check.limit and check.cosine >= limits.cosine


def measured(label: str, spec: TensorSpec, wanted: Array, found: Array, limits: Limits, batch: int) -> Check:
    """How far `found` is from `wanted`. Raises ParityError where they cannot be compared."""
    for whose, answer in (("the source", wanted), ("the export", found)):
        if not fits(spec, answer):
            raise ParityError(f"{whose} gives {list(answer.shape)} at batch {batch} ({label}), which is no {spec}")
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        raise ParityError(
            f"output {spec.name} is {found.dtype}{list(found.shape)} instead of {wanted.dtype}{list(wanted.shape)} "
            f"at batch {batch} ({label})"
        )
    if not np.issubdtype(wanted.dtype, np.floating):
        unequal = np.count_nonzero(wanted != found)
        share = unequal / max(wanted.size, 1)
        return Check(label, spec.name, batch, float(unequal), share, 1.0, float(int(limits.unequal * wanted.size)))
    left, right = wanted.astype(np.float64), found.astype(np.float64)
    for whose, values in (("the source", left), ("the export", right)):
        if not np.isfinite(values).all():
            raise ParityError(
                f"output {spec.name} of {whose} is not a finite number at batch {batch} ({label}), so nothing can be "
                "compared; give examples that the model can answer"
            )
    limit = limits.of(spec) * _scale(left)
    difference = np.abs(left - right)
    max_abs, cosine = float(difference.max(initial=0.0)), _smallest_cosine(left, right, limit)
    return Check(label, spec.name, batch, max_abs, _relative(difference, left), cosine, limit)


def _relative(difference: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    sizes = np.abs(wanted)
    counted = sizes > NOT_TINY * sizes.max(initial=0.0)
    return float((difference[counted] / sizes[counted]).max(initial=0.0))


def _scale(answers: NDArray[np.float64]) -> float:
    """1 for answers between 0.01 and 1 in size, their size beyond; below it shrinks with them, down to 0.01.

    Or small answers could all be wrong and none of them further off than the tolerance.
    """
    largest = float(np.abs(answers).max(initial=0.0))
    return min(max(1.0, largest), max(100 * largest, 0.01))


def _smallest_cosine(left: NDArray[np.float64], right: NDArray[np.float64], limit: float) -> float:
    """Over the rows that are long enough to have a direction; 1.0 if there is none."""
    left, right = left.reshape(len(left), -1), right.reshape(len(right), -1)
    norms = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    far = (norms[0] > limit) & (norms[1] > limit)
    if not far.any():
        return 1.0
    dots = (left[far] * right[far]).sum(axis=1)
    return float((dots / (norms[0][far] * norms[1][far])).min())


def worst_of_each(checks: Iterable[Check]) -> tuple[Check, ...]:
    """One check for each name, output and batch, with the worst figures of all of them."""
    found: dict[tuple[str, str, int], Check] = {}
    for check in checks:
        key = (check.name, check.output, check.batch)
        known = found.get(key)
        found[key] = check if known is None else _worse(known, check)
    return tuple(found.values())


def _worse(one: Check, other: Check) -> Check:
    worst = max(one, other, key=lambda check: check.strain)
    return dataclasses.replace(worst, max_rel=max(one.max_rel, other.max_rel), cosine=min(one.cosine, other.cosine))
