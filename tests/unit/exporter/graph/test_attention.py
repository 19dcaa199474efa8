from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from exporter.exported import Exported
from exporter.graph.attention import drop_idle_guards
from tests.support.onnx_models import onnx_file

GUARDED = """g (float[N, 4] x, bool[N, 4] seen) => (float[N, 4] y)
<float[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, float zero = {0}, float hidden = {%s}> {
    scores = MatMul(x, w)
    mask = Where(seen, zero, hidden)
    masked = Add(scores, mask)
    %s
    shares = Softmax(%s)
    broken = IsNaN(shares)
    mended = Where(broken, zero, shares)
    y = MatMul(mended, w)
}"""
LOWEST = "-3.4028234663852886e38"


def written(path: Path, hidden: str = LOWEST, extra: str = "", scores: str = "masked") -> Path:
    return onnx_file(path, GUARDED % (hidden, extra, scores))


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_a_guard_behind_a_finite_mask_goes_and_the_answers_stay(tmp_path: Path) -> None:
    path = written(tmp_path / "guarded.onnx")
    model = ir.load(path)
    assert drop_idle_guards(model) == 1
    assert "IsNaN" not in operators(model)
    ir.save(model, tmp_path / "plain.onnx")

    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    seen = np.array([[True, True, False, False], [True] * 4, [False] * 4])
    answers = [Exported(file).answers({"x": x, "seen": seen})["y"] for file in (path, tmp_path / "plain.onnx")]
    np.testing.assert_array_equal(answers[0], answers[1])


@pytest.mark.parametrize(
    ("hidden", "extra", "scores"),
    [
        ("-inf", "", "masked"),  # a row that is masked everywhere has no softmax
        (LOWEST, "twice = Add(masked, mask)", "twice"),  # two of them add up to minus infinity
        (LOWEST, "far = Log(x)", "far"),  # nobody knows
    ],
)
def test_a_guard_that_may_act_stays(tmp_path: Path, hidden: str, extra: str, scores: str) -> None:
    model = ir.load(written(tmp_path / "guarded.onnx", hidden, extra, scores))
    assert drop_idle_guards(model) == 0
    assert "IsNaN" in operators(model)
