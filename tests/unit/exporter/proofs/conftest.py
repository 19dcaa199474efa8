from __future__ import annotations

import numpy as np
import pytest

from exporter.arrays import Tensors
from exporter.proofs.asked import Asked
from exporter.sources.base import Case
from triton_models.tensors import TensorSpec

OUTPUT = TensorSpec("y", "FP32", (2,))
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def doubled(inputs: Tensors) -> Tensors:
    return {"y": 2 * inputs["x"]}


@pytest.fixture
def asked() -> list[Asked]:
    """Of a source that doubles: two cases that are alike, and another one."""
    cases = [Case("made up", {"x": ROWS}), Case("made up", {"x": ROWS + 1}), Case("other", {"x": ROWS[:1]})]
    return [Asked(case, doubled(case.inputs)) for case in cases]
