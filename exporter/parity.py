"""The proofs before publishing: the export answers like its source, row by row, in batches of every size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exporter.arrays import Array, Tensors
from exporter.errors import ParityError
from exporter.limits import Limits
from exporter.signature import fits
from exporter.sources.base import Case, Source
from triton_models.card import Check
from triton_models.tensors import TensorSpec

if TYPE_CHECKING:
    import onnxruntime

PROVEN_BATCHES = (1, 2, 7)
"""And the largest: one row is special to tracers, two is the example's own size, seven is nobody's favourite."""
NOT_TINY = 1e-2
"""Elements are asked for their relative difference if they have at least this share of the largest one's size."""
ROWS_ALONE = 16
"""How many rows of a batch are asked again on their own."""
DIFFERS = "the export does not answer like its source; raise --tolerance only if answers this far apart are good enough"
MIXES_ROWS = (
    "the answer for a row depends on the other rows of its batch, and a server puts rows of strangers into one batch; "
    "look for a mean, a norm or an attention over the first axis. --unbatched publishes it as a model whose requests "
    "are never put together"
)
Answer = Callable[[Tensors], Tensors]
"""Whatever answers inputs: the file, run here, or a server that has loaded it."""


def batches_up_to(max_batch_size: int) -> list[int]:
    """The batch sizes at which a model is proven."""
    return sorted({size for size in PROVEN_BATCHES if size < max_batch_size} | {max_batch_size})


class Exported:
    """The ONNX file of a version, run by ONNX Runtime on this machine's processor."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Loads the file; 0 threads are all. Raises ParityError if ONNX Runtime refuses it."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its warnings are about speed; errors are raised
        options.intra_op_num_threads = threads
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common type but this
            raise ParityError(f"ONNX Runtime does not load the model: {error}") from error
        self.names = [output.name for output in self._session.get_outputs()]

    def answers(self, inputs: Tensors) -> dict[str, Array]:
        """What the exported model answers. Raises ParityError, with the shapes, if it fails."""
        try:
            found = self._session.run(self.names, dict(inputs))
        except Exception as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise ParityError(f"the exported model fails on {shapes}: {error}") from error
        return dict(zip(self.names, found, strict=True))


@dataclass(frozen=True)
class Asked:
    """Inputs, and what the source answered to them: the yardstick for everything that is made of it."""

    case: Case
    wanted: Tensors


def ask(source: Source, cases: Iterable[Case]) -> list[Asked]:
    """The source's own answers to each case."""
    return [Asked(case, source.answers(case.inputs)) for case in cases]


def prove(asked: Iterable[Asked], outputs: Sequence[TensorSpec], answer: Answer, limits: Limits) -> tuple[Check, ...]:
    """Compares the answers of the export with those of its source.

    Raises ParityError at the first output that differs by more than its limit.
    """
    checks: list[Check] = []
    for one in asked:
        case = one.case
        checks += compare(case.label, outputs, one.wanted, answer(case.inputs), limits, case.batch, DIFFERS)
    return worst_of_each(checks)


def prove_rows_alone(
    asked: Iterable[Asked], outputs: Sequence[TensorSpec], answer: Answer, limits: Limits
) -> tuple[Check, ...]:
    """Compares the answers to rows in a batch with those to the same rows alone, both of the export.

    Raises ParityError where the answer for a row depends on the other rows.
    """
    checks: list[Check] = []
    for case in (one.case for one in asked if one.case.batch > 1):
        together = answer(case.inputs)
        rows = np.linspace(0, case.batch - 1, min(case.batch, ROWS_ALONE)).astype(int)
        alone = joined(answer({name: array[[row]] for name, array in case.inputs.items()}) for row in rows)
        picked = {name: array[rows] for name, array in together.items()}
        label = f"{case.label}, rows alone"
        checks += compare(label, outputs, alone, picked, limits, case.batch, MIXES_ROWS)
    return worst_of_each(checks)


def is_deterministic(asked: Iterable[Asked], answer: Answer) -> bool:
    """Whether the export gives the same bytes to the same input twice."""
    return all(_bytes(answer(one.case.inputs)) == _bytes(answer(one.case.inputs)) for one in asked)


def _bytes(answers: Tensors) -> list[bytes]:
    return [repr(array.tolist()).encode() if array.dtype == object else array.tobytes() for array in answers.values()]


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


def joined(answers: Iterable[Tensors]) -> dict[str, Array]:
    """Answers one below the other."""
    parts = list(answers)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
