"""How far an export may be from its source, by the precision of its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from triton_models.tensors import TensorSpec

PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@dataclass(frozen=True)
class Limits:
    """What is let pass.

    `tolerance` is the largest difference for answers between 0.01 and 1 in size; beyond, it grows and shrinks with the
    largest answer. `cosine` is the smallest cosine of a row. `unequal` is the largest share of elements that may differ
    in outputs that are not floating-point numbers, such as the number of a class.
    """

    tolerance: float
    cosine: float
    unequal: float = 0.0

    def of(self, output: TensorSpec) -> float:
        """The tolerance for one output: 16-bit answers cannot be nearer than their type allows."""
        return max(self.tolerance, HALF_TOLERANCE) if output.dtype == "FP16" else self.tolerance


HALF_TOLERANCE = 1e-2
BY_PRECISION = {
    "fp32": Limits(1e-4, 0.9999),
    "fp16": Limits(1e-2, 0.999, 0.02),
    "bf16": Limits(5e-2, 0.995, 0.02),
    "int8": Limits(0.25, 0.98, 0.05),
}


def limits(precision: str, tolerance: float | None = None, cosine: float | None = None) -> Limits:
    """The limits of a precision, with what the user set in place of the usual."""
    usual = BY_PRECISION[precision]
    return Limits(
        tolerance if tolerance is not None else usual.tolerance,
        cosine if cosine is not None else usual.cosine,
        usual.unequal,
    )
