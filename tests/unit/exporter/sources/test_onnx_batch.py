"""Files that were written for a fixed number of rows, and files for newer servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.errors import SourceError
from exporter.exported import Exported
from exporter.sources.onnx_file import OnnxFileSource, open_onnx
from exporter.target import target_of
from tests.support.onnx_models import DOUBLES, onnx_file

ROW_BY_ROW = {
    "two rows": "g (float[2, 3] x) => (float[2, 3] y) { y = Add(x, x) }",
    "one row": "g (float[1, 3] x) => (float[1, 3] y) <float[1, 3] w = {1, 2, 3}> { y = Add(x, w) }",
    "moving length": "g (float[2, L] x) => (float[2, L] y) { y = Neg(x) }",
    "stale inner shapes": "g (float[2, 3] x) => (float[2, 3] y) <float[2, 3] inner> { inner = Neg(x)  y = Neg(inner) }",
    "told its shape": "g (float[2, 4] x) => (float[2, 2, 2] y) <int64[3] s = {2, 2, 2}> { y = Reshape(x, s) }",
    "told the first length": """g (float[1, 4] x) => (float[1, 4] y) <int64[2] s = {1, -1}> {
        y = Reshape<allowzero = 1>(x, s)
    }""",
    "told by a node": """g (float[2, 1, 3] x) => (float[2, 4, 3] y) {
        s = Constant<value_ints = [2, 4, 3]>()  y = Expand(x, s)
    }""",
    "told in a branch": """g (float[2, 3] x) => (float[2, 3] y) {
        yes = Constant<value = bool {1}>()
        y = If(yes) <
            then_branch = t () => (float[2, 3] a) { a = Neg(x) }, else_branch = e () => (float[2, 3] b) { b = Abs(x) }
        >
    }""",
}
REFUSED = {
    "a constant of two rows": (
        "g (float[2, 3] x) => (float[2, 3] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}> { [plus] y = Add(x, w) }",
        r"its batch axis is baked in as 2 by node plus \(Add\); export it again with a dynamic first axis",
    ),
    "rows made inside": (
        """g (float[2, 3] x) => (float[2, 4] y) <int64[2] s = {2, 1}> {
            more = ConstantOfShape(s)  [beside] y = Concat<axis = 1>(x, more)
        }""",
        r"baked in as 2 by node beside \(Concat\)",
    ),
    "rows counted in a product": (
        "g (float[2, 3, 4] x) => (float[2, 12] y) <int64[2] s = {6, 4}, int64[2] r = {2, 12}> "
        "{ [flat] a = Reshape(x, s)  y = Reshape(a, r) }",
        r"baked in as 2 by node flat\w* \(Reshape\)",
    ),
    "a first row that is all": (
        "g (float[1, 3] x) => (float[1, 3] y) <int64[1] i = {0}> { y = Gather<axis = 0>(x, i) }",
        r"its batch axis is baked in as 1: output y is \[1, 3\] for 2 rows",
    ),
    "the mean of one row": (
        "g (float[1, 3] x) => (float[1, 3] y) <int64[1] a = {0}> { m = ReduceMean(x, a)  y = Add(m, x) }",
        r"answers 2 rows at once otherwise than 1 at a time \(output y\), so its batch axis cannot move",
    ),
    "the mean of two rows": (
        "g (float[2, 3] x) => (float[2, 3] y) <int64[1] a = {0}> { m = ReduceMean(x, a)  y = Sub(x, m) }",
        r"takes 2 rows at once, and its answer for one depends on the others \(output y\)",
    ),
    "different numbers of rows": (
        "g (float[1, 3] x, float[2, 3] z) => (float[2, 3] y) { y = Add(x, z) }",
        "the first axes of the inputs have different fixed lengths: x 1, z 2",
    ),
    "no row": ("g (float x) => (float y) { y = Neg(x) }", "input x has no axis"),
}


def published(source: OnnxFileSource, folder: Path) -> Exported:
    folder.mkdir()
    source.write(folder)
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    return Exported(folder / "model.onnx")


@pytest.mark.parametrize("graph", ROW_BY_ROW.values(), ids=ROW_BY_ROW)
def test_a_fixed_batch_axis_is_made_to_move(graph: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "fixed.onnx", graph)
    source = open_onnx(path)
    exported = published(source, tmp_path / "v")

    for case in source.cases([1, 2, 5]):
        found, wanted = exported.answers(case.inputs)["y"], source.answers(case.inputs)["y"]
        assert len(wanted) == case.batch
        assert np.array_equal(found, wanted)
    assert {case.batch for case in source.cases([1, 2, 5])} == {1, 2, 5}


@pytest.mark.parametrize(("graph", "message"), REFUSED.values(), ids=REFUSED)
def test_a_batch_axis_that_cannot_move_is_refused(graph: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        open_onnx(onnx_file(tmp_path / "fixed.onnx", graph))


def test_a_fixed_batch_axis_moves_beside_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.arange(3, dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 23)])
    onnx.save(model, tmp_path / "f.onnx", save_as_external_data=True, location="f.weights", size_threshold=0)

    exported = published(open_onnx(tmp_path / "f.onnx"), tmp_path / "v")
    assert exported.answers({"x": np.ones((5, 3), np.float32)})["y"].tolist() == [[1, 2, 3]] * 5
    assert (tmp_path / "v/f.weights").read_bytes() == (tmp_path / "f.weights").read_bytes()


def test_a_newer_file_is_written_down_to_what_the_server_reads(tmp_path: Path) -> None:
    source = open_onnx(onnx_file(tmp_path / "new.onnx", DOUBLES, opset=23, ir=11))
    published(source, tmp_path / "v")
    model = onnx.load(tmp_path / "v/model.onnx")
    assert (model.opset_import[0].version, model.ir_version) == (21, 10)


NEWER = {
    "RMSNormalization": "g (float[N, 3] x) => (float[N, 3] y) <float[3] s = {1, 2, 3}> { y = RMSNormalization(x, s) }",
    "Cast": 'g (float[N, 3] x) => (float16[N, 3] y) { y = Cast<to = 10, round_mode = "up">(x) }',
}


@pytest.mark.parametrize("operator", NEWER)
def test_an_operator_that_the_server_lacks_is_named(operator: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "new.onnx", NEWER[operator], opset=24 if operator == "Cast" else 23, ir=11)
    message = rf"reads up to opset 21 and IR version 10, and operator {operator} cannot .*newer --target-triton"
    with pytest.raises(SourceError, match=message):
        open_onnx(path)
    assert open_onnx(path, target_of("26.04")).is_changed is False
