from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.onnx_models import onnx_file
from triton_models.repository.publish import Published
from triton_models.storage import open_storage

ExportGraph = Callable[..., Published]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def export_graph(tmp_path: Path, repository: Path) -> ExportGraph:
    """Writes a graph given as text to an ONNX file and exports that file."""

    def run(graph: str, name: str = "small", max_batch_size: int = 9, **options: Any) -> Published:
        path = onnx_file(tmp_path / "small.onnx", graph)
        spec = ExportSpec(str(path), name, str(repository), max_batch_size=max_batch_size, **options)
        return export(spec, open_storage(spec.repository))

    return run
