"""The proof that the answer for a row does not depend on the other rows of its batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from exporter.arrays import joined
from exporter.limits import Limits
from exporter.proofs.asked import Asked
from exporter.proofs.compare import compare, worst_of_each
from exporter.proofs.parity import Answer
from triton_models.card import Check
from triton_models.tensors import TensorSpec

ROWS_ALONE = 16
"""How many rows of a batch are asked again on their own."""
MIXES_ROWS = (
    "the answer for a row depends on the other rows of its batch, and a server puts rows of strangers into one batch; "
    "look for a mean, a norm or an attention over the first axis. --unbatched publishes it as a model whose requests "
    "are never put together"
)


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
