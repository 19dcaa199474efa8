from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.onnx_models import DOUBLES, MIXES_ROWS
from tests.unit.exporter.conftest import ExportGraph
from triton_models.repository.versions import read_config
from triton_models.storage import open_storage


def test_samples_are_among_the_checks(export_graph: ExportGraph, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.ones((5, 3)))
    card = export_graph(DOUBLES, samples=str(tmp_path / "some.npz")).card
    assert ("some.npz", 5) in {(check.name, check.batch) for check in card.checks}
    assert card.deterministic


def test_a_model_about_the_whole_request_is_published_without_batching(
    export_graph: ExportGraph, repository: Path
) -> None:
    card = export_graph(MIXES_ROWS, unbatched=True).card
    config = read_config(open_storage(str(repository)), "small")

    assert card.max_batch_size == 0
    assert [str(tensor) for tensor in card.inputs] == ["x FP32[3]"]
    assert not any("rows alone" in check.name for check in card.checks)
    assert config is not None
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [-1, 3]
