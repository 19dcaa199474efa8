"""What is exported comes from others: no file beside it is read, and nothing in it is run."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from exporter.errors import ExportError, SourceError
from exporter.export import export
from exporter.sources.hub import looks_like_hub_id
from exporter.sources.onnx_file import _data_files, open_onnx
from exporter.sources.program import open_program
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec
from tests.support.hostile import Runs
from tests.support.tiny_models import tiny_folder
from triton_models.errors import RaytonError
from triton_models.storage import open_storage


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as it should be."""
    return tiny_folder(tmp_path_factory.mktemp("tiny") / "bert", "BertModel")


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoiled, two folders deep."""
    found = tmp_path / "deep" / "er"
    found.mkdir(parents=True)
    for file in bert.iterdir():
        (found / file.name).write_bytes(file.read_bytes())
    return found


def opened(source: Path, tmp_path: Path) -> Any:
    return open_source(ExportSpec(str(source), "m", str(tmp_path / "models")))


def saved(value: Any) -> bytes:
    kept = io.BytesIO()
    torch.save(value, kept)
    return kept.getvalue()


def test_the_stand_in_for_code_runs_when_it_is_unpickled(mark: Path) -> None:
    """So the refusals below are not of harmless files."""
    pickle.loads(pickle.dumps(Runs(mark)))
    assert mark.exists()
    mark.unlink()
    torch.load(io.BytesIO(saved(Runs(mark))), weights_only=False)
    assert mark.exists()


PICKLED: dict[str, Callable[[Path, Path], None]] = {
    "weights of old": lambda folder, mark: only_weights(folder, "pytorch_model.bin", saved(Runs(mark))),
    "a checkpoint": lambda folder, mark: only_weights(folder, "model.pt", pickle.dumps(Runs(mark))),
    "what is called safetensors": lambda folder, mark: only_weights(folder, "model.safetensors", saved(Runs(mark))),
    "a shard": lambda folder, mark: sharded(folder, "shard.bin", saved(Runs(mark))),
    "a shard with another ending": lambda folder, mark: sharded(folder, "shard.pt", pickle.dumps(Runs(mark))),
}


def only_weights(folder: Path, name: str, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)


def sharded(folder: Path, name: str, content: bytes) -> None:
    only_weights(folder, name, content)
    weights = {"embeddings.word_embeddings.weight": name}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


@pytest.mark.parametrize("pickled", PICKLED)
def test_weights_that_are_a_pickle_are_not_opened(folder: Path, tmp_path: Path, mark: Path, pickled: str) -> None:
    PICKLED[pickled](folder, mark)
    with pytest.raises(SourceError):
        opened(folder, tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("shard", ["../../outside.safetensors", "/outside.safetensors", "a/../../../o.safetensors", 3])
def test_weights_in_several_files_lie_in_the_folder(folder: Path, tmp_path: Path, shard: Any) -> None:
    (tmp_path / "outside.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    sharded(folder, "unused", b"")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"pooler.dense.bias": shard}}))
    with pytest.raises(SourceError, match="is no safetensors file of this folder"):
        opened(folder, tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_in_a_folder_is_not_run_without_the_flag(folder: Path, tmp_path: Path, mark: Path, name: str) -> None:
    (folder / "modeling_evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    config = json.loads((folder / name).read_text())
    config["auto_map"] = {"AutoModel": "modeling_evil.Model", "AutoTokenizer": ["modeling_evil.T", None]}
    (folder / name).write_text(json.dumps(config))
    with pytest.raises(SourceError, match=r"runs Python code of its own .*--trust-remote-code"):
        opened(folder, tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("path", ["../../outside", "/outside", "0_Transformer/../../../outside", "..", 3])
def test_the_modules_of_a_sentence_transformer_lie_in_its_folder(folder: Path, tmp_path: Path, path: Any) -> None:
    kinds = ("Transformer", "Pooling")
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(SourceError, match=r"outside the folder of the model|is not a list of modules"):
        opened(folder, tmp_path)


def outside_weights(location: str) -> TensorProto:
    found = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    found.external_data.add(key="location", value=location)
    return found


def with_initializer(weights: TensorProto) -> onnx.ModelProto:
    return onnx_model([helper.make_node("Add", ["x", "w"], ["y"])], [weights])


def with_constant(weights: TensorProto) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=weights)
    return onnx_model([constant, helper.make_node("Add", ["x", "w"], ["y"])])


def with_inner_graph(weights: TensorProto) -> onnx.ModelProto:
    inner = [helper.make_node("Identity", ["w"], ["r"])]
    branch = helper.make_graph(inner, "b", [], [helper.make_tensor_value_info("r", 1, [3])], [weights])
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    chosen = helper.make_node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch)
    return onnx_model([yes, chosen, helper.make_node("Add", ["x", "c"], ["y"])])


def onnx_model(nodes: list[Any], weights: list[TensorProto] | None = None) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], weights or [])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize("place", [with_initializer, with_constant, with_inner_graph])
@pytest.mark.parametrize("location", ["../secret", "/secret", "a/../../secret", "link", ""])
def test_an_onnx_file_cannot_take_its_weights_from_elsewhere(
    tmp_path: Path, place: Callable[[TensorProto], onnx.ModelProto], location: str
) -> None:
    secret = tmp_path / "secret"
    np.arange(3, dtype=np.float32).tofile(secret)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(secret)
    location = str(secret) if location == "/secret" else location
    path = tmp_path / "in" / "model.onnx"
    path.write_bytes(place(outside_weights(location)).SerializeToString())
    with pytest.raises(SourceError):
        open_onnx(path)
    if location != "link":  # by itself too, whatever the checker of the onnx package says
        with pytest.raises(SourceError, match="outside the folder of the model"):
            _data_files(onnx.load(path, load_external_data=False))
    with pytest.raises(Exception, match=r"[Ee]xternal|TensorProto"):  # and so does the runtime that serves it
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_an_onnx_file_cannot_bring_operators_of_its_own(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("Evil", ["x"], ["y"], domain="evil.library")])
    model.opset_import.add(domain="evil.library", version=1)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="evil"):
        export(ExportSpec(str(path), "m", str(tmp_path / "models")), open_storage(str(tmp_path / "models")))
    assert not [*(tmp_path / "models").iterdir()]


@pytest.mark.parametrize("ending", ["model.onnx", "model.pt2"])
def test_a_pickle_with_the_ending_of_a_model_is_not_opened(tmp_path: Path, mark: Path, ending: str) -> None:
    for content in (pickle.dumps(Runs(mark)), saved(Runs(mark))):
        (tmp_path / ending).write_bytes(content)
        with pytest.raises(SourceError):
            opened(tmp_path / ending, tmp_path)
        assert not mark.exists()


@pytest.mark.parametrize("record", ["../../made", "/made", "data/weights/../../../made", "data/weights/weight_0/../x"])
def test_a_program_cannot_hold_files_for_elsewhere(tmp_path: Path, record: str) -> None:
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.ones(2, 3),))
    path = tmp_path / "deep" / "p.pt2"
    path.parent.mkdir()
    torch.export.save(program, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"p/{record}", b"evil")
    with pytest.raises(SourceError, match="no part of one program"):
        open_program(path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["deep", "p.pt2"]


@pytest.mark.parametrize("text", ["owner/../x", "../owner/x", "owner/x@../../../evil", "owner/x@a/../b", "a/x@/etc"])
def test_an_id_of_the_hub_is_no_path(text: str, tmp_path: Path) -> None:
    assert not looks_like_hub_id(text)
    with pytest.raises(RaytonError):
        opened(Path(text), tmp_path)
