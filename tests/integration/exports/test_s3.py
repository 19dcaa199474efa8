"""A model published into an object store through its own protocol."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from rayton import app
from tests.support.onnx_models import DOUBLES, MIXES_ROWS, onnx_file
from tests.support.s3 import object_store
from triton_models.errors import RaytonError
from triton_models.repository.versions import models, newest, read_card, read_config
from triton_models.storage import open_storage

REPOSITORY = "s3://models/production"


def test_an_export_to_an_object_store_is_complete_and_its_versions_grow(tmp_path: Path) -> None:
    source = onnx_file(tmp_path / "small.onnx", DOUBLES)
    with object_store("models") as address:
        for _ in range(2):
            result = CliRunner().invoke(app, ["export", str(source), "--name", "small", "--repository", REPOSITORY])
            assert result.exit_code == 0, result.output
        repository = open_storage(REPOSITORY, address)
        card = read_card(repository, "small", 2)

        assert newest(repository, "small") == 2
        assert read_config(repository, "small") is not None
        content = repository.read("small/2/model.onnx")
        assert card.files == {"model.onnx": hashlib.sha256(content).hexdigest()}
        assert content == source.read_bytes()
    assert f"published: {REPOSITORY}/small/2" in result.stdout


def test_a_refused_export_leaves_nothing_in_an_object_store(tmp_path: Path) -> None:
    source = onnx_file(tmp_path / "mixing.onnx", MIXES_ROWS)
    with object_store("models") as address:
        result = CliRunner().invoke(app, ["export", str(source), "--name", "small", "--repository", REPOSITORY])
        assert isinstance(result.exception, RaytonError)
        repository = open_storage(REPOSITORY, address)
        assert models(repository) == []
        assert repository.objects() == []


def test_the_command_line_is_mounted_without_the_heavy_libraries() -> None:
    code = "import sys, exporter.cli; print({'torch', 'transformers', 'onnx', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
