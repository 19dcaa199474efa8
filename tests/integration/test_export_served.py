"""What was exported, loaded by the real server and asked through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tritonclient.grpc import InferenceServerClient

from exporter.export import export
from exporter.sources.python_factory import open_factory
from exporter.spec import ExportSpec
from tests.support.triton import infer, start
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

MODULES = Path(__file__).parent.parent / "support" / "factories" / "modules.py"
FACTORIES = ("mlp", "moving_image", "recurrent", "colliding", "passed_through", "half", "bytes_in_labels_out")


@pytest.fixture(scope="module")
def client(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServerClient]:
    """A server with every one of these models."""
    repository = tmp_path_factory.mktemp("served") / "models"
    for factory in FACTORIES:
        spec = ExportSpec(f"{MODULES}:{factory}", factory, str(repository), max_batch_size=8)
        torch.manual_seed(0)
        export(spec, open_storage(spec.repository))
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        yield client


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_server_answers_like_pytorch(client: InferenceServerClient, factory: str) -> None:
    torch.manual_seed(0)
    source = open_factory(f"{MODULES}:{factory}")
    inputs: dict[str, Any] = {**source.cases([7])[0].inputs}
    wanted, found = source.answers(inputs), infer(client, factory, **inputs)

    assert set(found) == set(wanted)
    for name, array in wanted.items():
        # A scalar travels as one element: Triton wants at least one axis in a row.
        expected = array if array.ndim > 1 else array[:, None]
        assert (found[name].shape, found[name].dtype) == (expected.shape, expected.dtype)
        assert np.allclose(found[name], expected, atol=1e-2 if factory == "half" else 1e-5)
