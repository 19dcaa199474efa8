"""The cases on which a version is proven, and what its source answers to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from exporter.arrays import Tensors
from exporter.sources.base import Case, Source

PROVEN_BATCHES = (1, 2, 7)
"""And the largest: one row is special to tracers, two is the example's own size, seven is nobody's favourite."""


def batches_up_to(max_batch_size: int) -> list[int]:
    """The batch sizes at which a model is proven."""
    return sorted({size for size in PROVEN_BATCHES if size < max_batch_size} | {max_batch_size})


@dataclass(frozen=True)
class Asked:
    """Inputs, and what the source answered to them: the yardstick for everything that is made of it."""

    case: Case
    wanted: Tensors


def ask(source: Source, cases: Iterable[Case]) -> list[Asked]:
    """The source's own answers to each case."""
    return [Asked(case, source.answers(case.inputs)) for case in cases]


def one_of_each(asked: Iterable[Asked]) -> list[Asked]:
    """The first case of each kind and batch size."""
    found: dict[tuple[str, int], Asked] = {}
    for one in asked:
        found.setdefault((one.case.label, one.case.batch), one)
    return list(found.values())
