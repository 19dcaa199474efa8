from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.errors import ParityError, SourceError
from exporter.export import export
from exporter.sources.onnx_file import open_onnx
from exporter.spec import ExportSpec
from tests.support.onnx_models import DOUBLES, MIXES_ROWS, MOVES
from tests.unit.exporter.conftest import ExportGraph
from triton_models.card import Card
from triton_models.config.pbtxt import from_pbtxt
from triton_models.errors import RaytonError, RepositoryError
from triton_models.storage import open_storage


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_publishes_config_model_and_card(export_graph: ExportGraph, repository: Path, tmp_path: Path) -> None:
    published = export_graph(DOUBLES)

    assert everything(repository) == [
        "small",
        "small/1",
        "small/1/card.json",
        "small/1/model.onnx",
        "small/config.pbtxt",
    ]
    assert (repository / "small/1/model.onnx").read_bytes() == (tmp_path / "small.onnx").read_bytes()
    config = from_pbtxt((repository / "small/config.pbtxt").read_text(), "config.pbtxt")
    assert (config.name, config.max_batch_size, config.backend) == ("small", 9, "onnxruntime")
    assert published.card.source == "small.onnx"
    assert published.card.tools["onnxruntime"]


def test_card_holds_the_checksum_of_every_published_file(export_graph: ExportGraph, repository: Path) -> None:
    export_graph(DOUBLES)

    version = repository / "small/1"
    card = Card.from_json((version / "card.json").read_text(), "card.json")
    assert set(card.files) == {"model.onnx"}
    for path, checksum in card.files.items():
        assert hashlib.sha256((version / path).read_bytes()).hexdigest() == checksum


def test_versions_grow_and_leave_the_old_ones_alone(export_graph: ExportGraph, repository: Path) -> None:
    export_graph(DOUBLES)
    before = (repository / "small/1/card.json").read_bytes()

    assert export_graph("g (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }").version == 2
    assert (repository / "small/1/card.json").read_bytes() == before
    assert (repository / "small/2/model.onnx").read_bytes() != (repository / "small/1/model.onnx").read_bytes()


def test_batches_are_proven_at_one_two_seven_and_the_largest(export_graph: ExportGraph) -> None:
    checks = export_graph(DOUBLES, max_batch_size=33).card.checks

    assert {check.batch for check in checks} == {1, 2, 7, 33}
    assert all(check.max_abs <= check.limit for check in checks)


def test_moving_axes_are_proven_at_several_lengths(export_graph: ExportGraph) -> None:
    card = export_graph(MOVES).card

    assert [str(tensor) for tensor in card.inputs] == ["x FP32[?]", "mask INT64[?]"]
    assert len({check.name for check in card.checks if "length" in check.name and "alone" not in check.name}) == 3


def test_a_model_whose_rows_depend_on_each_other_is_refused(export_graph: ExportGraph, repository: Path) -> None:
    with pytest.raises(ParityError, match=r"output y differs by .* at batch 2 .*depends on the other rows"):
        export_graph(MIXES_ROWS)
    assert everything(repository) == []
    assert not [path for path in repository.parent.iterdir() if path.name.startswith(".")]


def test_other_tensors_than_the_published_ones_are_refused(export_graph: ExportGraph, repository: Path) -> None:
    export_graph(DOUBLES)

    with pytest.raises(RepositoryError, match=r"y FP32\[3\] is gone"):
        export_graph("g (float[N, 3] x) => (float[N, 3] z) { z = Add(x, x) }")
    assert everything(repository / "small") == ["1", "1/card.json", "1/model.onnx", "config.pbtxt"]


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("this is not a model")
    with pytest.raises(SourceError, match="not a valid ONNX model"):
        open_onnx(path)


def with_weights_outside(path: Path, location: str) -> Path:
    weights = numpy_helper.from_array(np.arange(3, dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def test_weights_in_a_file_of_their_own_are_published_under_its_name(tmp_path: Path, repository: Path) -> None:
    path = with_weights_outside(tmp_path / "big.onnx", "big.weights")
    published = export(ExportSpec(str(path), "big", str(repository)), open_storage(str(repository)))

    assert set(published.card.files) == {"model.onnx", "big.weights"}
    assert (repository / "big/1/big.weights").read_bytes() == (tmp_path / "big.weights").read_bytes()


def test_weights_outside_the_folder_of_the_model_are_refused(tmp_path: Path) -> None:
    path = with_weights_outside(tmp_path / "big.onnx", "big.weights")
    model = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location")
    entry.value = "../big.weights"
    folder = tmp_path / "inner"
    folder.mkdir()
    onnx.save(model, folder / "big.onnx")

    with pytest.raises(SourceError):
        open_onnx(folder / "big.onnx")


def test_a_repository_that_is_a_file_is_refused(export_graph: ExportGraph, repository: Path) -> None:
    repository.write_text("not a folder")
    with pytest.raises(RaytonError, match="File exists"):
        export_graph(DOUBLES)
    assert repository.read_text() == "not a folder"
