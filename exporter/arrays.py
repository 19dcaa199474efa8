"""Arrays by name: what a model takes and what it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]
"""Arrays by the name of their tensor; the first axis is the batch."""


def joined(answers: Iterable[Tensors]) -> dict[str, Array]:
    """Answers one below the other."""
    parts = list(answers)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
