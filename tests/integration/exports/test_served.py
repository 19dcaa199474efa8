"""Every kind of model that can be exported, loaded by one real server and asked through it, against PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tritonclient.grpc import InferenceServerClient

from exporter.chatter import captured
from exporter.export import export
from exporter.sources.module import ModuleSource
from exporter.sources.python_factory import open_factory
from exporter.spec import ExportSpec
from tests.support.programs import program_of
from tests.support.triton import Array, infer, start
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

FACTORIES = Path(__file__).parents[2] / "support" / "factories"
MODULES = ("mlp", "colliding", "passed_through", "half", "bytes_in_labels_out")
KINDS = ("pictures", "lstm", "gru", "encoder", "mixed", "branches", "perceptron")
PROGRAMS = ("pictures", "encoder", "bytes_in_labels_out", "branches", "perceptron")
FILES = ("fixed_one", "fixed_two", "moving")
"""ONNX files of the perceptron."""
MAX_BATCH_SIZE = 8
RENAMED: dict[str, Any] = {
    "name": "renamed",
    "input_names": ("image=relu",),
    "output_names": ("features=conv2d",),
    "outputs": ("conv2d",),
}
"""The pictures under names that PyTorch gives to values inside of them, with one output only."""


@dataclass(frozen=True)
class Matrix:
    """A client of the server with all models, and what PyTorch says to each of them, by the name of the model."""

    client: InferenceServerClient
    sources: dict[str, ModuleSource]


def opened(factory: str) -> ModuleSource:
    torch.manual_seed(0)
    return open_factory(f"{FACTORIES / ('modules.py' if factory in MODULES else 'matrix.py')}:{factory}")


def written(kind: str, folder: Path) -> Path:
    """The perceptron as an ONNX file, as PyTorch writes it."""
    rows, moving = {"fixed_one": (1, None), "fixed_two": (2, None), "moving": (2, ({0: torch.export.Dim.DYNAMIC},))}[
        kind
    ]
    module, path = opened("perceptron").running.module, folder / f"{kind}.onnx"
    with captured():
        torch.onnx.export(
            module,
            (torch.ones(rows, 4),),
            path,
            dynamo=True,
            verbose=False,
            dynamic_shapes=moving,
            output_names=["output"],
        )
    return path


@pytest.fixture(scope="module")
def matrix(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    folder = tmp_path_factory.mktemp("matrix")
    repository = folder / "models"
    sources = {factory: opened(factory) for factory in (*MODULES, *KINDS)}
    places = {
        factory: f"{FACTORIES / ('modules.py' if factory in MODULES else 'matrix.py')}:{factory}" for factory in sources
    }
    for factory in PROGRAMS:
        sources[f"{factory}_pt2"] = sources[factory]
        places[f"{factory}_pt2"] = str(program_of(sources[factory], folder / f"{factory}.pt2"))
    for kind in FILES:
        sources[kind] = sources["perceptron"]
        places[kind] = str(written(kind, folder))
    specs = [ExportSpec(place, name, str(repository), MAX_BATCH_SIZE) for name, place in places.items()]
    for spec in (*specs, replace(specs[len(MODULES)], **RENAMED)):
        torch.manual_seed(0)
        export(spec, open_storage(spec.repository))
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        yield Matrix(client, sources)


@pytest.mark.parametrize("name", [*MODULES, *KINDS, *(f"{factory}_pt2" for factory in PROGRAMS), *FILES])
def test_the_server_answers_like_pytorch(matrix: Matrix, name: str) -> None:
    source = matrix.sources[name]
    cases = source.cases([1, 3, MAX_BATCH_SIZE])
    assert len(cases) >= (5 if source.axes else 3)
    for case in cases:
        wanted = source.answers(case.inputs)
        found = infer(matrix.client, name, (), **{name: whole(array) for name, array in case.inputs.items()})
        assert set(found) == set(wanted)
        for output, array in wanted.items():
            answer, expected = found[output], whole(array)
            assert (answer.shape, answer.dtype) == (expected.shape, expected.dtype)
            if np.issubdtype(array.dtype, np.floating):
                limit = 1e-2 if array.dtype == np.float16 else 1e-4
                assert np.abs(answer.astype(np.float64) - expected).max() <= limit, (output, case.label, case.batch)
            else:
                assert np.array_equal(answer, expected)


def whole(array: Array) -> Array:
    """A scalar travels as one element: Triton wants at least one axis in a row."""
    return array if array.ndim > 1 else array[:, None]


def test_a_renamed_model_answers_with_the_output_that_is_kept(matrix: Matrix) -> None:
    for case in matrix.sources["pictures"].cases([1, 3]):
        wanted = matrix.sources["pictures"].answers(case.inputs)["features"]
        found = infer(matrix.client, "renamed", (), relu=case.inputs["image"])
        assert set(found) == {"conv2d"}
        assert np.abs(found["conv2d"] - wanted).max() <= 1e-4
