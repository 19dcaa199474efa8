"""Who can write to a bucket of models cannot run code on the nodes that serve it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.numbered import NAME, publish_number
from tests.support.repositories import everything, store_in
from triton_models.config.foreign import code_in
from triton_models.config.model import model_config
from triton_models.config.pbtxt import to_pbtxt
from triton_models.config.tuning import Tuning
from triton_models.errors import RepositoryError
from triton_models.repository.cache import open_cache
from triton_models.repository.checkout import check_out
from triton_models.repository.versions import read_config
from triton_models.server.errors import BrokenModelError
from triton_models.server.follow import Follower
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))


def set_(field: str, value: str) -> Callable[[Any], None]:
    return lambda config: setattr(config, field, value)


def parameter(name: str, value: str) -> Callable[[Any], None]:
    return lambda config: setattr(config.parameters[name], "string_value", value)


def accelerator(name: str, key: str, value: str) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        config.optimization.execution_accelerators.gpu_execution_accelerator.add(name=name).parameters[key] = value

    return change


def no_backend(config: Any) -> None:
    config.backend = ""


CONFIGS: dict[str, Callable[[Any], None]] = {
    "another backend": set_("backend", "python"),
    "another platform": set_("platform", "pytorch_libtorch"),
    "a backend to be guessed": no_backend,
    "a library of the model": set_("runtime", "libtriton_evil.so"),
    "a module of the model": set_("runtime", "model.py"),
    "operators": lambda config: config.model_operations.op_library_filename.append("libevil.so"),
    "an environment": parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/env.tar.gz"),
    "an environment beside": parameter("EXECUTION_ENV_PATH", "env.tar.gz"),
    "plugins of TensorRT": accelerator("tensorrt", "trt_extra_plugin_lib_paths", "/models/libevil.so"),
    "engines of TensorRT": accelerator("tensorrt", "trt_engine_cache_path", "/models/m/1/engines"),
}
FILES = ("libtriton_onnxruntime.so", "model.py", "lib/libevil.so.1", "assets/x.pyc")


@pytest.fixture
def bucket(tmp_path: Path) -> Storage:
    """Version 1 of a model, as `rayton export` publishes it."""
    (tmp_path / "models").mkdir()
    found = store_in(tmp_path / "models")
    publish_number(found, 1)
    return found


def spoil(repository: Storage, change: Callable[[Any], None]) -> None:
    found = read_config(repository, NAME)
    assert found is not None
    change(found)
    repository.write(f"{NAME}/config.pbtxt", to_pbtxt(found).encode())


def add(repository: Storage, file: str, content: bytes) -> None:
    """A file with its checksum: who can write to the bucket can write the card."""
    card = json.loads(repository.read(f"{NAME}/1/card.json"))
    card["files"][file] = hashlib.sha256(content).hexdigest()
    repository.write(f"{NAME}/1/{file}", content)
    repository.write(f"{NAME}/1/card.json", json.dumps(card).encode())


def refused(bucket: Storage, tmp_path: Path) -> None:
    """Neither `rayton serve` nor the managed server of a job takes the model."""
    (tmp_path / "node").mkdir()
    with pytest.raises(RepositoryError, match=r"version 1 of numbered in \S+ is not taken: .* could run code"):
        check_out(bucket, {NAME: 1}, tmp_path / "node")
    with open_cache(tmp_path / "copy", bucket.uri) as copy, pytest.raises(RepositoryError, match="could run code"):
        Follower(copy, lambda: bucket, None, print).prepare()
    assert everything(tmp_path / "node") == {}
    assert everything(tmp_path / "copy" / "models") == {}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_lets_a_server_run_code_is_not_taken(bucket: Storage, tmp_path: Path, kind: str) -> None:
    spoil(bucket, CONFIGS[kind])
    refused(bucket, tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_a_version_that_holds_code_is_not_taken(bucket: Storage, tmp_path: Path, file: str) -> None:
    add(bucket, file, b"evil")
    refused(bucket, tmp_path)


def test_a_copy_goes_on_with_what_it_has_when_code_comes(bucket: Storage, tmp_path: Path) -> None:
    said: list[str] = []
    with open_cache(tmp_path / "copy", bucket.uri) as copy:
        follower = Follower(copy, lambda: bucket, None, said.append)
        follower.prepare()
        before = everything(copy.models)
        publish_number(bucket, 2)
        spoil(bucket, CONFIGS["another backend"])
        follower.prepare()
        assert everything(copy.models) == before
    assert any("could run code" in line and "serving numbered version 1" in line for line in said)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "tensorrt"])
def test_no_config_that_is_exported_is_taken_for_code(device: str) -> None:
    config = model_config("m", [X], [X], 8, Tuning((device,)))
    assert code_in(config, ("model.onnx", "model.onnx.data", "assets/tokenizer.json")) is None


def test_triton_itself_would_run_it(runtime: Runtime, tmp_path: Path) -> None:
    """So the refusals above are not of harmless files. A folder of this machine is its operator's own."""
    mark = tmp_path / "it_ran"
    environment = tmp_path / "env" / "bin" / "activate"
    environment.parent.mkdir(parents=True)
    environment.write_text(f"touch {mark}\n")
    repository = open_storage(str(tmp_path / "models"))
    publish_number(repository, 1)
    spoil(repository, parameter("EXECUTION_ENV_PATH", str(tmp_path / "env")))
    with NodeServer.start(runtime, ServerOptions(tmp_path / "models", tmp_path / "log")):
        assert mark.exists()


def test_triton_itself_would_load_a_library_from_a_version(runtime: Runtime, tmp_path: Path) -> None:
    repository = open_storage(str(tmp_path / "models"))
    publish_number(repository, 1)
    (tmp_path / "models" / NAME / "1" / "libtriton_onnxruntime.so").write_bytes(b"no library")
    with pytest.raises(BrokenModelError, match=r"libtriton_onnxruntime\.so"):
        NodeServer.start(runtime, ServerOptions(tmp_path / "models", tmp_path / "log"))
