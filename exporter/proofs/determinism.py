"""Whether an export answers the same twice."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.arrays import Tensors
from exporter.proofs.asked import Asked
from exporter.proofs.parity import Answer


def is_deterministic(asked: Iterable[Asked], answer: Answer) -> bool:
    """Whether the export gives the same bytes to the same input twice."""
    return all(_bytes(answer(one.case.inputs)) == _bytes(answer(one.case.inputs)) for one in asked)


def _bytes(answers: Tensors) -> list[bytes]:
    return [repr(array.tolist()).encode() if array.dtype == object else array.tobytes() for array in answers.values()]
