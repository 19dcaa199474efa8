from __future__ import annotations

import numpy as np

from exporter.arrays import Tensors
from exporter.proofs.asked import Asked
from exporter.proofs.determinism import is_deterministic
from tests.unit.exporter.proofs.conftest import doubled


def test_determinism_is_about_bytes(asked: list[Asked]) -> None:
    drifts = iter(np.linspace(0, 1e-6, 100, dtype=np.float32))

    def drifting(inputs: Tensors) -> Tensors:
        return {"y": np.full(2, next(drifts))}

    assert is_deterministic(asked, doubled)
    assert not is_deterministic(asked, drifting)
