"""The proof through a real server, before anything is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import ExportError, ParityError
from exporter.export import config_of, export
from exporter.proofs.prove import ask_source, prove_served
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec
from tests.support.onnx_models import DOUBLES, MIXES_ROWS, onnx_file
from triton_models.config.tuning import Tuning
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage


def spec_of(tmp_path: Path, graph: str, **options: object) -> ExportSpec:
    source = onnx_file(tmp_path / "small.onnx", graph)
    return ExportSpec(str(source), "small", str(tmp_path / "models"), max_batch_size=9, **options)  # type: ignore[arg-type]


def test_the_card_has_the_figures_of_the_server(runtime: Runtime, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, DOUBLES)
    card = export(spec, open_storage(spec.repository), runtime=runtime).card

    assert {check.batch for check in card.checks if check.name.startswith("served, ")} == {1, 2, 7, 9}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "small.onnx"]


def test_a_model_about_the_whole_request_is_served(runtime: Runtime, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, MIXES_ROWS, unbatched=True)
    card = export(spec, open_storage(spec.repository), runtime=runtime).card
    assert {check.batch for check in card.checks if check.name.startswith("served, ")} == {1, 2, 7, 9}


def test_what_the_server_does_not_load_is_not_published(runtime: Runtime, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, DOUBLES, tuning=Tuning(settings=("parameters.execution_mode=7",)))
    with pytest.raises(
        ExportError, match=r"a real Triton does not take the model: .*execution_mode must be one of 0, 1"
    ):
        export(spec, open_storage(spec.repository), runtime=runtime)
    assert [path for path in tmp_path.rglob("*") if path.name not in ("models", "small.onnx")] == []


def test_a_server_that_answers_otherwise_is_found(runtime: Runtime, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, DOUBLES)
    source = open_source(spec)
    asked = ask_source(spec, source)
    version = tmp_path / "staged" / "version"
    version.mkdir(parents=True)
    onnx_file(version / "model.onnx", "g (float[N, 3] x) => (float[N, 3] y) { y = Abs(x) }")

    with pytest.raises(ParityError, match="output y differs"):
        prove_served(spec, source, asked, version, config_of(spec, source, asked), runtime)
