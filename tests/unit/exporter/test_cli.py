from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from rayton import app
from tests.support.onnx_models import DOUBLES, MIXES_ROWS, onnx_file
from triton_models.errors import RaytonError

QUICK = "--no-verify-served"


def test_reports_the_checks_the_place_and_what_comes_next(tmp_path: Path) -> None:
    source, repository = onnx_file(tmp_path / "small.onnx", DOUBLES), tmp_path / "models"
    result = CliRunner().invoke(app, ["export", str(source), "--name", "small", "--repository", str(repository), QUICK])

    assert result.exit_code == 0, result.output
    assert "1, 2, 7, 64" in result.stdout
    assert f"small version 1 is published: {repository}/small/1" in result.stdout
    assert "takes  x FP32[3], up to 64 rows a request" in result.stdout
    assert f"rayton serve --repository {repository}" in result.stdout
    assert "comparing the export with its source" in result.stderr


def test_a_refused_export_ends_with_its_error_and_no_report(tmp_path: Path) -> None:
    source = onnx_file(tmp_path / "mixing.onnx", MIXES_ROWS)
    result = CliRunner().invoke(
        app, ["export", str(source), "--name", "m", "--repository", str(tmp_path / "models"), QUICK]
    )

    assert result.exit_code == 1
    assert isinstance(result.exception, RaytonError)
    assert result.stdout == ""


def test_the_options_are_explained() -> None:
    result = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"})
    for option in ("--name", "--dynamic", "--precision", "--samples", "--verify-served", "--device", "--set", "--load"):
        assert option in result.stdout
