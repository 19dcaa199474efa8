"""What is exported and what is scored comes from others: no file beside it is read, and nothing in it is run."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import TensorProto, helper

from exporter.errors import ExportError, SourceError
from exporter.export import export
from exporter.proofs.given import given_cases
from exporter.sources.hub import looks_like_hub_id
from exporter.sources.onnx_file import _data_files, open_onnx
from exporter.sources.program import open_program
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec
from ray_pipeline.errors import InputError
from ray_pipeline.output.claim import read_plan
from ray_pipeline.sources.base import Format
from ray_pipeline.sources.listing import format_of
from ray_pipeline.sources.tar import Tar
from tests.support.hostile import Runs
from tests.support.onnx_models import onnx_file
from tests.support.sources import own_columns, read_whole, survey_of
from tests.support.tiny_models import tiny_folder
from triton_models.errors import RaytonError
from triton_models.storage import open_storage


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Made by code that runs."""
    return tmp_path / "it_ran"


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


def npy(array: Any, mark: Path | None = None) -> bytes:
    kept = io.BytesIO()
    np.save(kept, np.array([Runs(mark)], np.object_) if mark else array, allow_pickle=True)
    return kept.getvalue()


def npz(name: str, content: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr(name, content)
    return kept.getvalue()


@pytest.mark.parametrize("kind", ["objects", "a bare pickle", "no archive", "one array", "half an archive"])
def test_samples_that_are_a_pickle_are_not_opened(tmp_path: Path, mark: Path, kind: str) -> None:
    whole = npz("x.npy", npy(np.ones((2, 3), np.float32)))
    content = {
        "objects": npz("x.npy", npy(None, mark)),
        "a bare pickle": pickle.dumps(Runs(mark)),
        "no archive": b"PK\x03\x04",
        "one array": npy(np.ones(3)),
        "half an archive": whole[: len(whole) // 2],
    }[kind]
    (tmp_path / "samples.npz").write_bytes(content)
    source = open_onnx(onnx_file(tmp_path / "m.onnx", "g (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }"))
    with pytest.raises(SourceError, match=r"cannot be read as Parquet or \.npz"):
        given_cases(str(tmp_path / "samples.npz"), source, 8)
    assert not mark.exists()


@pytest.mark.parametrize("path", ["a.npy", "a.npz"])
def test_rows_that_are_pickled_objects_are_not_read(tmp_path: Path, mark: Path, path: str) -> None:
    content = npy(None, mark)
    storage = open_storage(str(tmp_path / "in"))
    for held in (content if path == "a.npy" else npz("x.npy", content), pickle.dumps(Runs(mark))):
        storage.write(path, held)
        with pytest.raises(InputError):
            survey_of(format_of(path), storage, path)
    assert not mark.exists()


def test_an_archive_of_arrays_is_not_unpacked(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "deep" / "in"))
    storage.write("a.npz", npz("../../made.npy", npy(np.arange(4))))
    source: Format = format_of("a.npz")
    table = own_columns(read_whole(source, storage, "a.npz"))
    assert table.to_pydict() == {"../../made": [0, 1, 2, 3]}
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["a.npz", "deep", "in"]


def test_the_members_of_a_shard_are_rows_and_never_files(tmp_path: Path) -> None:
    """Names are texts, and what is a link, a device or a folder is no row."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as shard:
        for name in ("../../made.jpg", "/made.jpg", "a/../../made.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 4
            shard.addfile(info, io.BytesIO(b"evil"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("link.jpg")
            info.type, info.linkname = kind, str(tmp_path / "secret.jpg")
            shard.addfile(info)
    storage = open_storage(str(tmp_path / "deep" / "in"))
    storage.write("s.tar", kept.getvalue())
    rows = own_columns(read_whole(Tar(), storage, "s.tar")).to_pylist()
    assert [(row["path"], row["image"]) for row in rows] == [
        ("s.tar/../../made.jpg", b"evil"),
        ("s.tar//made.jpg", b"evil"),
        ("s.tar/a/../../made.jpg", b"evil"),
    ]
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["deep", "in", "s.tar", "secret.jpg"]


def pickled_type(mark: Path) -> pa.Schema:
    """A column whose type is a pickle: how Arrow once kept types that were made in Python."""
    named = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Runs(mark)),
    }
    return pa.schema([pa.field("x", pa.int64(), metadata=named)])


def test_a_type_that_is_a_pickle_is_not_made(tmp_path: Path, mark: Path) -> None:
    schema = pickled_type(mark)
    storage = open_storage(str(tmp_path / "in"))
    kept = pa.BufferOutputStream()
    pq.write_table(pa.table([pa.array([1, 2])], schema=schema), kept)
    storage.write("a.parquet", kept.getvalue())
    assert own_columns(read_whole(format_of("a.parquet"), storage, "a.parquet"))["x"].to_pylist() == [1, 2]

    facts = {b"rayton.schema": schema.serialize().to_pybytes(), b"rayton.folder": b"/in", b"rayton.bytes": b"0"}
    columns = {"chunk": [0], "path": ["a"], "stamp": ["s"]}
    numbers = {name: [1] for name in ("rows", "first_row", "first_byte", "end_byte")}
    kept = pa.BufferOutputStream()
    pq.write_table(pa.table({**columns, **numbers}).replace_schema_metadata(facts), kept)
    storage.write("_plan.parquet", kept.getvalue())
    plan = read_plan(storage)
    assert plan is not None
    assert plan.schema.field("x").type == pa.int64()
    assert not mark.exists()


@pytest.mark.parametrize("text", ["owner/../x", "../owner/x", "owner/x@../../../evil", "owner/x@a/../b", "a/x@/etc"])
def test_an_id_of_the_hub_is_no_path(text: str, tmp_path: Path) -> None:
    assert not looks_like_hub_id(text)
    with pytest.raises(RaytonError):
        opened(Path(text), tmp_path)
