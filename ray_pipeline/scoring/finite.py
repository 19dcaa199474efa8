"""Which answers are no numbers to go on with: NaN and infinite ones."""

from __future__ import annotations

import numpy as np

from ray_pipeline.transport.base import Tensors


def nonfinite_rows(answer: Tensors) -> dict[int, str]:
    """The rows of a batch, from 0, that hold NaN or infinite numbers: how many of them in which outputs.

    Outputs have the batch on their first axis; those that are not floating cannot hold any.
    """
    found: dict[int, str] = {}
    for name, values in answer.items():
        if values.dtype.kind != "f" or (finite := np.isfinite(values)).all():
            continue
        finite = finite.reshape(len(values), -1)
        numbers = finite.shape[1]
        bad = numbers - np.count_nonzero(finite, axis=1)
        for row in np.flatnonzero(bad).tolist():
            told = f"{bad[row]} of {numbers} numbers of output {name!r} are NaN or infinite"
            found[row] = f"{found[row]}; {told}" if row in found else told
    return found
