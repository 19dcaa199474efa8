"""What the precisions of one model weigh, how fast they are side by side, and how near to the source they stay."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporter.arrays import Tensors
from exporter.exported import Exported
from exporter.limits import Limits
from exporter.precision.files import bytes_of
from exporter.proofs.asked import Asked
from exporter.proofs.compare import measured
from triton_models.card import Figures
from triton_models.tensors import TensorSpec

THREADS = 1
"""For every precision alike. More would compete with what else this machine does, and say less about the model."""
SECONDS = 2.0
"""How long all of them are measured together."""
FEWEST_ROUNDS, MOST_ROUNDS = 3, 50


def figures(
    files: Mapping[str, Path], asked: Sequence[Asked], outputs: Sequence[TensorSpec], limits: Limits
) -> tuple[Figures, ...]:
    """One set of figures for each file, by the name of its precision; all are loaded at once.

    Rows a second are those of the largest batch that the source was asked, the median over rounds in which each file
    has its turn. Raises ParityError for answers that cannot be compared.
    """
    exported = {precision: Exported(path, THREADS) for precision, path in files.items()}
    largest = max(asked, key=lambda one: one.case.batch).case
    rates = rows_per_s(exported, largest.inputs, largest.batch)
    return tuple(
        Figures(precision, bytes_of(path), rates[precision], _cosine(exported[precision], asked, outputs, limits))
        for precision, path in files.items()
    )


def rows_per_s(
    exported: Mapping[str, Exported], inputs: Tensors, rows: int, seconds: float = SECONDS
) -> dict[str, float]:
    """How many rows a second each model answers, measured in turns so that a busy moment meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in exported}
    for model in exported.values():
        model.answers(inputs)  # the first run also makes room
    end = time.perf_counter() + seconds
    for turn in range(MOST_ROUNDS):
        for name, model in exported.items():
            begin = time.perf_counter()
            model.answers(inputs)
            times[name].append(time.perf_counter() - begin)
        if turn + 1 >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
    return {name: rows / statistics.median(taken) for name, taken in times.items()}


def _cosine(exported: Exported, asked: Sequence[Asked], outputs: Sequence[TensorSpec], limits: Limits) -> float:
    """The smallest over all rows and outputs."""
    return min(
        measured(one.case.label, spec, one.wanted[spec.name], answers[spec.name], limits, one.case.batch).cosine
        for one in asked
        for answers in (exported.answers(one.case.inputs),)
        for spec in outputs
    )
