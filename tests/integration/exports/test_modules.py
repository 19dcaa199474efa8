"""Modules that a Python factory returns, exported for real."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from exporter.convert import convert
from exporter.errors import ConversionError, ExportError, ParityError, SourceError
from exporter.export import export
from exporter.exported import Exported
from exporter.sources.module import ModuleSource
from exporter.sources.overrides import parse_dynamic
from exporter.sources.python_factory import open_factory
from exporter.spec import ExportSpec
from triton_models.repository.publish import Published
from triton_models.storage import open_storage

MODELS = Path(__file__).parents[2] / "support" / "factories" / "modules.py"


def run(factory: str, repository: Path, max_batch_size: int = 9) -> Published:
    spec = ExportSpec(f"{MODELS}:{factory}", "model", str(repository), max_batch_size=max_batch_size)
    return export(spec, open_storage(spec.repository))


def answers(repository: Path, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(repository / "model/1/model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize(
    ("factory", "inputs", "outputs"),
    [
        ("mlp", ["x FP32[4]"], ["output FP32[2]"]),
        ("moving_image", ["image FP32[3, ?, ?]"], ["output FP32[4]", "features FP32[8, ?, ?]"]),
        ("fixed_image", ["image FP32[3, 16, 16]"], ["output FP32[4]", "features FP32[8, 16, 16]"]),
        ("recurrent", ["x FP32[?, 4]"], ["output FP32[?, 8]"]),
        ("halving", ["x FP32[3, ?]"], ["output FP32[3, ?]"]),
        ("writes_into_its_input", ["x FP32[4]"], ["output FP32[4]"]),
        ("keyword_only", ["b FP32[3]", "a FP32[3]"], ["output_0 FP32[3]", "output_1 FP32[3]"]),
        ("colliding", ["x INT64[?]"], ["embedding FP32[4]", "linear FP32[4]"]),
        ("passed_through", ["x FP32[4]"], ["output_0 FP32[4]", "output_1 FP32[4]", "output_2 FP32[4]"]),
        ("half", ["input FP16[4]"], ["output FP16[4]"]),
        ("bytes_in_labels_out", ["pixels UINT8[6]"], ["label INT64[]", "dark BOOL[]"]),
        ("left_in_training", ["input FP32[4]"], ["output FP32[4]"]),
        ("nested_outputs", ["x FP32[4]"], ["a FP32[4]", "b_0 FP32[4]", "b_2_c FP32[4]"]),
    ],
)
def test_modules_are_exported_with_their_names_types_and_axes(
    factory: str, inputs: list[str], outputs: list[str], tmp_path: Path
) -> None:
    card = run(factory, tmp_path / "models").card

    assert [str(tensor) for tensor in card.inputs] == inputs
    assert [str(tensor) for tensor in card.outputs] == outputs
    assert {check.batch for check in card.checks} == {1, 2, 7, 9}
    assert card.source == f"modules.py:{factory}"


def test_an_output_called_like_an_inner_value_has_the_right_numbers(tmp_path: Path) -> None:
    run("colliding", tmp_path)
    found = answers(tmp_path, x=np.array([[0, 1, 2], [2, 2, 2]]))
    assert np.abs(found["embedding"][0] - found["embedding"][1]).max() > 0.01
    assert np.allclose(found["linear"], 2 * found["embedding"], atol=1e-6)


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("loop_over_rows", ConversionError, r"the batch axis of x \(axis 0\) became the fixed length 2"),
        ("made_for_two_rows", SourceError, "but not any number of rows"),
        ("no_rows_in_answer", SourceError, "its first axis must be the row"),
        ("strange_operator", ConversionError, r"operator prims\.bessel_j0 has no ONNX form"),
        ("chooses_its_way", ConversionError, r"values of its inputs at modules\.py, line \d+"),
        ("mixes_rows", ParityError, "depends on the other rows of its batch"),
        ("keeps_batch_statistics", ParityError, "depends on the other rows of its batch"),
        ("back_in_training", ParityError, "depends on the other rows of its batch"),
        ("not_numbers", ParityError, "not a finite number at batch 2"),
        ("random_answers", SourceError, "answers the same input otherwise each time"),
        ("axis_that_cannot_move", SourceError, "width cannot move"),
        ("no_examples", SourceError, r"returned a module alone.*a factory returns \(model, examples\)"),
        ("called_like_its_input", SourceError, "an input and an output are called x"),
        ("two_outputs_of_one_name", SourceError, "two outputs that are called a_0"),
        ("returns_a_number", SourceError, "output loss of the model is float"),
        ("fails", SourceError, r"ZeroDivisionError: division by zero \(modules\.py, line \d+\)"),
        ("not_there", SourceError, "has no function 'not_there'"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_is_published(
    factory: str, error: type[ExportError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        run(factory, tmp_path / "models")
    assert [path for path in tmp_path.rglob("*") if path != tmp_path / "models"] == []


def test_the_same_module_gives_the_same_file(tmp_path: Path) -> None:
    first, second = (run("mlp", tmp_path / place).card.files for place in ("a", "b"))
    assert first == second


def test_no_path_of_this_machine_is_in_the_version(tmp_path: Path) -> None:
    run("mlp", tmp_path)
    for file in (tmp_path / "model/1").iterdir():
        assert str(MODELS.parent).encode() not in file.read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()


def test_a_module_is_imported_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package/net.py").write_text(
        "from my_package.sizes import WIDTH\nimport torch\n"
        "def make():\n    return torch.nn.Linear(WIDTH, 2), (torch.randn(1, WIDTH),)\n"
    )
    (tmp_path / "my_package/sizes.py").write_text("WIDTH = 5\n")
    monkeypatch.chdir(tmp_path)
    try:
        published = export(ExportSpec("my_package.net:make", "net", "models"), open_storage("models"))
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
            del sys.modules[name]
    assert str(published.card.inputs[0]) == "input FP32[5]"
    assert published.card.source == "my_package.net:make"
    assert str(tmp_path) not in sys.path


def test_axes_of_the_command_line_take_the_place_of_those_of_the_factory() -> None:
    reference = f"{MODELS}:moving_image"
    assert [str(spec) for spec in open_factory(reference, parse_dynamic(["image=0:batch"])).inputs] == [
        "image FP32[3, 16, 16]"
    ]
    assert open_factory(reference, parse_dynamic(["image=3:width"])).inputs[0].shape == (3, 16, -1)
    with pytest.raises(SourceError, match="axes name 'picture', but the inputs are image"):
        open_factory(reference, parse_dynamic(["picture=2:height"]))
    with pytest.raises(SourceError, match=r"image has no axis 4 that can move; it has 1 to 3"):
        open_factory(reference, parse_dynamic(["image=4:depth"]))


@dataclass(frozen=True)
class OffByALittle:
    """A factory's model, one of whose outputs is off by 1e-2 in the file that is written."""

    inner: ModuleSource

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def write(self, folder: Path) -> None:
        self.inner.write(folder)
        model = onnx.load(folder / "model.onnx")
        bias = next(one for one in model.graph.initializer if one.name.endswith("classes.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-2), bias.name))
        onnx.save(model, folder / "model.onnx")


def test_a_file_that_is_off_in_one_output_is_never_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.export.open_source", lambda spec: OffByALittle(open_factory(spec.source)))
    with pytest.raises(ParityError, match=r"output output differs by 0\.01 .* at batch 1"):
        run("moving_image", tmp_path / "models")
    assert [path for path in tmp_path.rglob("*") if path != tmp_path / "models"] == []


def test_weights_that_are_too_many_for_one_file_lie_beside_it_under_their_final_name(tmp_path: Path) -> None:
    source = open_factory(f"{MODELS}:moving_image")
    examples = {name: np.repeat(array, 2, axis=0) for name, array in source.examples.items()}
    traced = source.running.traced(examples, source.inputs, source.outputs, source.axes)
    convert(traced, tmp_path / "model.onnx", largest_inline_bytes=100)

    assert (tmp_path / "model.onnx.data").stat().st_size > 100
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        (tmp_path / name).rename(moved / name)
    exported = Exported(moved / "model.onnx")
    assert np.allclose(exported.answers(examples)["output"], source.answers(examples)["output"], atol=1e-6)
