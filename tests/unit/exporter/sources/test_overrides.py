from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.arrays import Tensors
from exporter.errors import ExportError
from exporter.exported import Exported
from exporter.sources.base import Case, Source
from exporter.sources.onnx_file import open_onnx
from exporter.sources.overrides import overridden, parse_dynamic
from tests.support.onnx_models import onnx_file
from triton_models.card import ImagePreparation, TextPreparation

TWO = """g (float[N, 3] x, float[N, 3] z) => (float[N, 3] y, float[N, 3] w) {
    kept = Neg(x)  y = Add(kept, z)  only = Abs(z)  w = Exp(only)
}"""
X, Z = (np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32) for seed in (0, 1))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return open_onnx(onnx_file(tmp_path / "two.onnx", TWO))


def written(source: Source, folder: Path) -> Exported:
    folder.mkdir()
    source.write(folder)
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    return Exported(folder / "model.onnx")


def test_moving_axes_are_read_and_the_row_is_left_out() -> None:
    axes = parse_dynamic(["image=0:batch,2:height, 3:width", "ids=1:tokens", "mask=0:N"])
    assert axes == {"image": {2: "height", 3: "width"}, "ids": {1: "tokens"}, "mask": {}}


@pytest.mark.parametrize(
    "value", ["image", "image=", "=1:a", "image=1", "image=one:a", "image=1:", "image=-1:a", "a=²:b"]
)
def test_what_is_no_axis_is_answered_with_the_form(value: str) -> None:
    with pytest.raises(ExportError, match=r"image=2:height,3:width; axis 0 is the row"):
        parse_dynamic([value])


def test_an_axis_has_one_name_and_the_row_its_own() -> None:
    with pytest.raises(ExportError, match="names axis 1 of x twice: a and b"):
        parse_dynamic(["x=1:a", "x=1:b"])
    with pytest.raises(ExportError, match="the row and another axis cannot have one name"):
        parse_dynamic(["x=0:n,1:n"])


def test_a_source_without_overrides_stays_itself(source: Source) -> None:
    assert overridden(source, (), (), ()) is source


def test_inputs_and_outputs_get_new_names(source: Source, tmp_path: Path) -> None:
    renamed = overridden(source, ["x=left", "z=right"], ["y=sum"], ())

    assert [str(spec) for spec in renamed.inputs] == ["left FP32[3]", "right FP32[3]"]
    assert [str(spec) for spec in renamed.outputs] == ["sum FP32[3]", "w FP32[3]"]
    asked = {"left": X, "right": Z}
    found, wanted = written(renamed, tmp_path / "v").answers(asked), renamed.answers(asked)
    assert set(found) == set(wanted) == {"sum", "w"}
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert set(renamed.cases([2])[0].inputs) == {"left", "right"}


def test_names_may_be_swapped_and_may_be_those_of_inner_values(source: Source, tmp_path: Path) -> None:
    renamed = overridden(source, ["x=z", "z=kept"], ["y=w", "w=only"], ())
    found = written(renamed, tmp_path / "v").answers({"z": X, "kept": Z})
    assert np.array_equal(found["w"], Z - X)
    assert np.allclose(found["only"], np.exp(np.abs(Z)))


def test_outputs_that_are_not_kept_leave_the_graph_with_what_only_they_need(source: Source, tmp_path: Path) -> None:
    cut = overridden(source, (), ["y=sum"], ["sum"])

    assert [spec.name for spec in cut.outputs] == ["sum"]
    assert written(cut, tmp_path / "v").answers({"x": X, "z": Z})["sum"].shape == (2, 3)
    assert [node.op_type for node in onnx.load(tmp_path / "v/model.onnx").graph.node] == ["Neg", "Add"]
    assert set(cut.answers({"x": X, "z": Z})) == {"sum"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((["a=b"], [], []), "--input-name is a=b; it is OLD=NEW, and OLD is one of x, z"),
        ((["x="], [], []), "it is OLD=NEW"),
        (([], ["y"], []), "--output-name is y; it is OLD=NEW, and OLD is one of y, w"),
        (([], ["y=w"], []), "calls two tensors w"),
        ((["x=y"], [], []), "y would be an input and an output"),
        (([], ["y=sum"], ["y"]), "--outputs has y; the outputs are sum, w"),
    ],
)
def test_names_that_are_not_there_are_answered_with_those_that_are(
    source: Source, names: tuple[list[str], list[str], list[str]], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        overridden(source, *names)


def test_weights_in_files_of_their_own_are_left_alone_and_removed_with_their_last_use(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    weights = numpy_helper.from_array(np.arange(3, dtype=np.float32), "weights")
    x, y, w = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xyw")
    nodes = [helper.make_node("Add", ["x", "weights"], ["y"]), helper.make_node("Neg", ["x"], ["w"])]
    graph = helper.make_graph(nodes, "g", [x], [y, w], [weights])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, path, save_as_external_data=True, location="big.weights", size_threshold=0)
    source = open_onnx(path)

    found = written(overridden(source, ["x=weights"], ["y=sum"], ["sum"]), tmp_path / "a")
    assert np.array_equal(found.answers({"weights": X})["sum"], X + np.arange(3, dtype=np.float32))
    assert (tmp_path / "a/big.weights").read_bytes() == (tmp_path / "big.weights").read_bytes()
    written(overridden(source, (), (), ["w"]), tmp_path / "b")
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["model.onnx"]


@dataclass(frozen=True)
class Prepared:
    """A source whose rows are prepared; nothing but its names is asked for."""

    inner: Source
    preparation: TextPreparation | ImagePreparation
    texts = None
    labels = ("no", "yes")
    label = "prepared"

    @property
    def inputs(self) -> tuple[object, ...]:
        return self.inner.inputs

    @property
    def outputs(self) -> tuple[object, ...]:
        return self.inner.outputs

    def cases(self, batches: Sequence[int]) -> list[Case]:
        return self.inner.cases(batches)

    def answers(self, inputs: Tensors) -> Tensors:
        return self.inner.answers(inputs)

    def write(self, folder: Path) -> None:
        self.inner.write(folder)


def test_what_prepares_rows_names_the_new_inputs(source: Source) -> None:
    text = TextPreparation("tokenizer.json", 8, 0, ids="x", mask="z", types=None, padding_free=False)
    found = overridden(Prepared(source, text), ["x=tokens"], (), ()).preparation  # type: ignore[arg-type]
    assert isinstance(found, TextPreparation)
    assert (found.ids, found.mask, found.types) == ("tokens", "z", None)

    image = overridden(Prepared(source, ImagePreparation("x", 8, 8)), ["x=photo"], (), ())  # type: ignore[arg-type]
    assert isinstance(image.preparation, ImagePreparation)
    assert image.preparation.input == "photo"
    assert image.labels == ("no", "yes")
