"""Programs that `torch.export` captured: opened without running what lies in their files."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

from exporter.errors import ParityError, SourceError
from exporter.exported import Exported
from exporter.proofs.prove import ask_source, prove_file
from exporter.sources.program import open_program
from exporter.spec import ExportSpec
from tests.support.hostile import Runs
from tests.support.programs import BATCH, in_program, saved, scored, tampered

PROGRAM = "models/model.json"
SAMPLES = "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored(tmp_path_factory.mktemp("programs") / "scored.pt2")


def proven(path: Path, folder: Path) -> Exported:
    source, spec = open_program(path), ExportSpec(str(path), "model", "models", max_batch_size=7)
    asked = ask_source(spec, source)
    folder.mkdir()
    source.write(folder)
    prove_file(spec, source, asked, folder / "model.onnx")
    return Exported(folder / "model.onnx")


def test_names_types_and_moving_axes_are_those_of_the_program(program: Path, tmp_path: Path) -> None:
    source = open_program(program)

    assert [str(spec) for spec in source.inputs] == ["x FP32[?, 4]", "mask FP32[?]"]
    assert [str(spec) for spec in source.outputs] == ["all FP32[?, 3]", "sums_0 FP32[3]", "sums_1_powers FP32[3]"]
    assert source.axes == {"x": {1: "x_1"}, "mask": {1: "x_1"}}
    exported = proven(program, tmp_path / "v")

    inputs = {"x": np.ones((3, 4, 4), np.float32), "mask": np.ones((3, 4), np.float32)}
    own = torch.export.load(program).module()(torch.from_numpy(inputs["x"]), 2, mask=torch.from_numpy(inputs["mask"]))
    assert np.allclose(exported.answers(inputs)["sums_1_powers"], own["sums"][1]["powers"].detach(), atol=1e-4)


def test_lengths_stay_in_the_ranges_of_the_program(program: Path) -> None:
    lengths = {case.inputs["x"].shape[1] for case in open_program(program).cases([1, 2, 7])}
    assert lengths == {3, 5, 6, 10}


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.bool])
def test_inputs_are_made_where_the_program_keeps_no_example(kind: torch.dtype, tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float().sum(1)

    moving = ({0: BATCH, 1: Dim("length", min=20, max=30)},)
    example = torch.ones(2, 25).to(kind)
    source = open_program(saved(Sum(), tmp_path / "sum.pt2", (example,), moving=moving, with_examples=False))
    assert source.examples["x"].shape == (2, 20)
    assert torch.from_numpy(source.examples["x"]).dtype == kind


def test_a_fixed_batch_axis_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = saved(nn.Linear(4, 2), tmp_path / "fixed.pt2", (torch.randn(2, 4),), moving=None)
    with pytest.raises(
        SourceError, match=r'input input has the fixed length 2 .*dynamic_shapes=\{"input": \{0: Dim\("batch"'
    ):
        open_program(path)


def test_more_rows_than_the_program_takes_are_refused_with_the_option(tmp_path: Path) -> None:
    few = Dim("batch", max=16)
    source = open_program(saved(nn.Linear(4, 2), tmp_path / "few.pt2", (torch.randn(2, 4),), moving=({0: few},)))
    assert len(source.cases([1, 16])) == 2
    with pytest.raises(SourceError, match=r"takes 16 rows at most; add --max-batch-size 16"):
        source.cases([1, 64])


@pytest.mark.parametrize("alone", [False, True])
def test_a_program_captured_in_training_mode_is_caught_by_the_rows_of_its_batches(alone: bool, tmp_path: Path) -> None:
    module = nn.BatchNorm1d(4) if alone else nn.Sequential(nn.Conv1d(4, 3, 1), nn.BatchNorm1d(3))
    example = torch.randn(2, 4) if alone else torch.randn(2, 4, 5)
    path = saved(module.train(), tmp_path / "training.pt2", (example,))
    with pytest.raises(ParityError, match="the answer for a row depends on the other rows of its batch"):
        proven(path, tmp_path / "v")


def as_zip_of(value: Any) -> bytes:
    kept = io.BytesIO()
    torch.save(value, kept)
    return kept.getvalue()


def nodes(program: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from program["graph_module"]["graph"]["nodes"]


def attacks(mark: Path) -> dict[str, tuple[str, Callable[[bytes], bytes], str]]:
    """A record, what it becomes, and what the refusal says; `mark` is made by code that runs."""
    call = f"__import__('pathlib').Path({str(mark)!r}).touch()"

    def pickled_weight(content: bytes) -> bytes:
        config = json.loads(content)
        config["config"]["layer.weight"]["use_pickle"] = True
        return json.dumps(config).encode()

    def guard(program: dict[str, Any]) -> None:
        program["guards_code"].append(call)

    def size(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values["x"]["sizes"][1]["as_expr"]["expr_str"] = call

    def hidden_size(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values["metadata"] = json.loads(json.dumps(values["x"]))
        values["metadata"]["sizes"][1]["as_expr"]["expr_str"] = call

    def operator(program: dict[str, Any]) -> None:
        next(nodes(program))["target"] = "torch.os.system"

    def value(program: dict[str, Any]) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values[f"x=({call})"] = values["x"]

    def kind(program: dict[str, Any]) -> None:
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        evil = json.dumps({"__enum__": True, "fqn": "antigravity:x", "name": "y"})
        signature["out_spec"] = signature["out_spec"].replace('"context": "null"', f'"context": {json.dumps(evil)}')

    def device(program: dict[str, Any]) -> None:
        program["graph_module"]["graph"]["tensor_values"]["x"]["device"]["type"] = "cuda"

    return {
        "example inputs": (SAMPLES, lambda content: as_zip_of(((Runs(mark),), {})), "not plain tensors.*any code"),
        "a weight": (WEIGHTS, pickled_weight, "keeps layer.weight as a pickle: opening it can run any code"),
        "weights of old": (
            "data/weights/model.pt",
            lambda content: pickle.dumps(Runs(mark)),
            "weights/model.pt, which is",
        ),
        "an object": (
            "data/constants/opaque_obj_0",
            lambda content: pickle.dumps(Runs(mark)),
            "opaque_obj_0, which is",
        ),
        "compiled code": (
            "data/aotinductor/model/a.so",
            lambda content: b"code",
            "a.so, which is a pickle, compiled code",
        ),
        "another program": ("models/other.json", lambda content: b"{}", "other.json, which is"),
        "a guard": (PROGRAM, in_program(guard), "where a condition on sizes belongs"),
        "a size": (PROGRAM, in_program(size), "where a size belongs"),
        "a size of a value called metadata": (PROGRAM, in_program(hidden_size), "where a size belongs"),
        "an operator": (PROGRAM, in_program(operator), "'torch.os.system' where an operator of PyTorch belongs"),
        "the name of a value": (PROGRAM, in_program(value), "where a name belongs"),
        "a structure": (PROGRAM, in_program(kind), "where a structure of tensors belongs"),
        "a device": (PROGRAM, in_program(device), "was exported for cuda"),
        "no JSON": (PROGRAM, lambda content: b"x", "is not a program that torch.export.save"),
    }


@pytest.mark.parametrize("kind", attacks(Path("mark")))
def test_nothing_that_lies_in_the_file_is_run(kind: str, program: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it_ran"
    record, change, message = attacks(mark)[kind]
    path = tampered(program, tmp_path / "evil.pt2", record, change)

    with pytest.raises(SourceError, match=message):
        open_program(path)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["example inputs", "a guard", "a size"])
@pytest.mark.filterwarnings("ignore")
def test_pytorch_itself_would_run_it(kind: str, program: Path, tmp_path: Path) -> None:
    """So the refusals above are not of harmless files."""
    mark = tmp_path / "it_ran"
    record, change, _ = attacks(mark)[kind]
    path = tampered(program, tmp_path / "evil.pt2", record, change)
    with contextlib.suppress(Exception):  # what it makes of the rest of the file is its own affair
        torch.export.load(path).module()(torch.ones(2, 5, 4), 2, mask=torch.ones(2, 5))
    assert mark.exists()


def test_the_format_of_older_releases_is_not_fallen_back_on(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.pt2"
    path.write_bytes(program.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("serialized_state_dict.pt", as_zip_of(Runs(tmp_path / "it_ran")))
    with pytest.raises(SourceError):
        open_program(path)
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_a_file_that_is_no_program_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text.pt2"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"is not a program that torch\.export\.save"):
        open_program(path)
