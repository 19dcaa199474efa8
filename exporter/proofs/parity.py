"""The proof that the export answers like its source, in batches of every size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from exporter.arrays import Tensors
from exporter.limits import Limits
from exporter.proofs.asked import Asked
from exporter.proofs.compare import compare, worst_of_each
from triton_models.card import Check
from triton_models.tensors import TensorSpec

DIFFERS = "the export does not answer like its source; raise --tolerance only if answers this far apart are good enough"
Answer = Callable[[Tensors], Tensors]
"""Whatever answers inputs: the file, run here, or a server that has loaded it."""


def prove_parity(
    asked: Iterable[Asked], outputs: Sequence[TensorSpec], answer: Answer, limits: Limits
) -> tuple[Check, ...]:
    """Compares the answers of the export with those of its source.

    Raises ParityError at the first output that differs by more than its limit.
    """
    checks: list[Check] = []
    for one in asked:
        case = one.case
        checks += compare(case.label, outputs, one.wanted, answer(case.inputs), limits, case.batch, DIFFERS)
    return worst_of_each(checks)
