from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.arrays import Tensors
from exporter.errors import ParityError
from exporter.limits import limits
from exporter.parity import Asked, is_deterministic, prove, prove_rows_alone
from exporter.sources.base import Case
from tests.support.onnx_models import DOUBLES, MIXES_ROWS
from tests.unit.exporter.conftest import ExportGraph
from triton_models.repository.versions import read_config
from triton_models.storage import open_storage
from triton_models.tensors import TensorSpec

OUTPUT = TensorSpec("y", "FP32", (2,))
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
FP32 = limits("fp32")


def doubled(inputs: Tensors) -> Tensors:
    return {"y": 2 * inputs["x"]}


def off_in_one_element(inputs: Tensors) -> Tensors:
    answer = np.array(2 * inputs["x"])
    answer[-1, 0] += 0.01 * np.abs(answer).max()
    return {"y": answer}


def less_the_mean(inputs: Tensors) -> Tensors:
    return {"y": inputs["x"] - inputs["x"].mean(axis=0)}


def asked() -> list[Asked]:
    cases = [Case("made up", {"x": ROWS}), Case("made up", {"x": ROWS + 1}), Case("other", {"x": ROWS[:1]})]
    return [Asked(case, doubled(case.inputs)) for case in cases]


def test_one_check_is_left_of_cases_that_are_alike_and_it_has_the_worst_figures() -> None:
    def slightly_off(inputs: Tensors) -> Tensors:
        return {"y": 2 * inputs["x"] + np.float32(1e-5) * (inputs["x"].min() > 0)}

    checks = prove(asked(), [OUTPUT], slightly_off, FP32)
    assert [(check.name, check.batch) for check in checks] == [("made up", 3), ("other", 1)]
    assert checks[0].max_abs == pytest.approx(1e-5, rel=0.1)
    assert checks[0].max_rel == pytest.approx(5e-6, rel=0.1)
    assert checks[1].max_abs == 0


def test_one_element_that_is_off_by_a_hundredth_is_found() -> None:
    with pytest.raises(ParityError, match=r"output y differs by 0\.1"):
        prove(asked(), [OUTPUT], off_in_one_element, FP32)


def test_rows_that_look_at_each_other_are_found_however_well_they_agree_with_the_source() -> None:
    assert prove_rows_alone(asked(), [OUTPUT], doubled, FP32)[0].name == "made up, rows alone"
    with pytest.raises(ParityError, match=r"depends on the other rows of its batch.*--unbatched"):
        prove_rows_alone(asked(), [OUTPUT], less_the_mean, FP32)


def test_determinism_is_about_bytes() -> None:
    drifts = iter(np.linspace(0, 1e-6, 100, dtype=np.float32))

    def drifting(inputs: Tensors) -> Tensors:
        return {"y": np.full(2, next(drifts))}

    assert is_deterministic(asked(), doubled)
    assert not is_deterministic(asked(), drifting)


def test_samples_are_among_the_checks(export_graph: ExportGraph, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.ones((5, 3)))
    card = export_graph(DOUBLES, samples=str(tmp_path / "some.npz")).card
    assert ("some.npz", 5) in {(check.name, check.batch) for check in card.checks}
    assert card.deterministic


def test_a_model_about_the_whole_request_is_published_without_batching(
    export_graph: ExportGraph, repository: Path
) -> None:
    card = export_graph(MIXES_ROWS, unbatched=True).card
    config = read_config(open_storage(str(repository)), "small")

    assert card.max_batch_size == 0
    assert [str(tensor) for tensor in card.inputs] == ["x FP32[3]"]
    assert not any("rows alone" in check.name for check in card.checks)
    assert config is not None
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [-1, 3]
