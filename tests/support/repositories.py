"""Model versions for tests of what holds them; their files are no real models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from obstore.store import LocalStore
from pyarrow import fs
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card, TensorPreparation
from triton_models.config.model import model_config
from triton_models.repository.publish import Published, publish
from triton_models.repository.staging import staging
from triton_models.storage import Storage
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))
Y = TensorSpec("y", "FP32", (3,))


def card(inputs: Sequence[TensorSpec] = (X,), outputs: Sequence[TensorSpec] = (Y,)) -> Card:
    """The card of a version that takes columns as they are, in batches of up to 8 rows."""
    return Card(tuple(inputs), tuple(outputs), 8, TensorPreparation(), "a test")


def config(name: str, inputs: Sequence[TensorSpec] = (X,), outputs: Sequence[TensorSpec] = (Y,)) -> ModelConfig:
    """The config that belongs to `card`."""
    return model_config(name, inputs, outputs, 8)


def publish_bytes(repository: Storage, name: str, content: bytes = b"weights") -> Published:
    """Publishes a version of X -> Y whose model is `content`, with an asset beside it."""
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(content)
        (staged / "assets").mkdir()
        (staged / "assets" / "words.txt").write_text("a word")
        return publish(repository, staged, card(), config(name))


class Store(Storage):
    """A folder that is treated as an object store is: nothing in it is renamed, everything is uploaded."""

    def _store(self, retries: int = 0) -> LocalStore:
        return LocalStore(Path(self.filesystem.base_path) / self.root, mkdir=True)

    def folders(self, path: str = "") -> list[str]:
        """A store has no folder in which nothing lies."""
        return [name for name in super().folders(path) if self.at(f"{path}/{name}".lstrip("/")).objects(hidden=True)]

    def write(self, path: str, content: bytes | pa.Buffer | Path) -> None:
        """Needs no folder, as an object store needs none."""
        self.filesystem.create_dir(self._full(path).rpartition("/")[0] or ".", recursive=True)
        super().write(path, content)

    def copy(self, source: str, target: str) -> None:
        """As `write`."""
        self.filesystem.create_dir(self._full(target).rpartition("/")[0] or ".", recursive=True)
        super().copy(source, target)


def store_in(folder: Path) -> Store:
    """An object store whose objects are the files of a folder."""
    return Store(f"store://{folder.name}", folder.name, fs.SubTreeFileSystem(str(folder.parent), fs.LocalFileSystem()))


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below and its content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
