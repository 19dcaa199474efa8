from __future__ import annotations

import pytest

from exporter.arrays import Tensors
from exporter.errors import ParityError
from exporter.limits import limits
from exporter.proofs.asked import Asked
from exporter.proofs.rows_alone import prove_rows_alone
from tests.unit.exporter.proofs.conftest import OUTPUT, doubled

FP32 = limits("fp32")


def less_the_mean(inputs: Tensors) -> Tensors:
    return {"y": inputs["x"] - inputs["x"].mean(axis=0)}


def test_rows_that_look_at_each_other_are_found_however_well_they_agree_with_the_source(asked: list[Asked]) -> None:
    assert prove_rows_alone(asked, [OUTPUT], doubled, FP32)[0].name == "made up, rows alone"
    with pytest.raises(ParityError, match=r"depends on the other rows of its batch.*--unbatched"):
        prove_rows_alone(asked, [OUTPUT], less_the_mean, FP32)
