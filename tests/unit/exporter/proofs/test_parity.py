from __future__ import annotations

import numpy as np
import pytest

from exporter.arrays import Tensors
from exporter.errors import ParityError
from exporter.limits import limits
from exporter.proofs.asked import Asked
from exporter.proofs.parity import prove_parity
from tests.unit.exporter.proofs.conftest import OUTPUT

FP32 = limits("fp32")


def off_in_one_element(inputs: Tensors) -> Tensors:
    answer = np.array(2 * inputs["x"])
    answer[-1, 0] += 0.01 * np.abs(answer).max()
    return {"y": answer}


def test_one_check_is_left_of_cases_that_are_alike_and_it_has_the_worst_figures(asked: list[Asked]) -> None:
    def slightly_off(inputs: Tensors) -> Tensors:
        return {"y": 2 * inputs["x"] + np.float32(1e-5) * (inputs["x"].min() > 0)}

    checks = prove_parity(asked, [OUTPUT], slightly_off, FP32)
    assert [(check.name, check.batch) for check in checks] == [("made up", 3), ("other", 1)]
    assert checks[0].max_abs == pytest.approx(1e-5, rel=0.1)
    assert checks[0].max_rel == pytest.approx(5e-6, rel=0.1)
    assert checks[1].max_abs == 0


def test_one_element_that_is_off_by_a_hundredth_is_found(asked: list[Asked]) -> None:
    with pytest.raises(ParityError, match=r"output y differs by 0\.1"):
        prove_parity(asked, [OUTPUT], off_in_one_element, FP32)
