"""A model whose answers tell which of its versions gave them: `y = x + number`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.onnx_models import onnx_file
from tests.support.triton import infer
from triton_models.card import Card, TensorPreparation
from triton_models.config.model import model_config
from triton_models.repository.publish import Published, publish
from triton_models.repository.staging import staging
from triton_models.server.channel import open_client
from triton_models.server.credentials import NONE, Credentials
from triton_models.storage import Storage
from triton_models.tensors import TensorSpec

NAME = "numbered"
X, Y = TensorSpec("x", "FP32", (1,)), TensorSpec("y", "FP32", (1,))
ZERO = np.zeros((1, 1), np.float32)


def publish_number(repository: Storage, number: int, name: str = NAME) -> Published:
    """Publishes the next version; it adds `number`."""
    with staging(repository) as staged:
        write_number(staged / "model.onnx", number)
        return _publish(repository, staged, name)


def publish_broken(repository: Storage, name: str = NAME) -> Published:
    """Publishes a version whose card is right, but whose file is no model."""
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"no model")
        return _publish(repository, staged, name)


def _publish(repository: Storage, staged: Path, name: str) -> Published:
    card = Card((X,), (Y,), 8, TensorPreparation(), "a test")
    return publish(repository, staged, card, model_config(name, (X,), (Y,), 8))


def write_number(path: Path, number: int) -> None:
    """Writes the ONNX file of a version."""
    onnx_file(
        path, f"g (float[N, 1] x) => (float[N, 1] y) {{ n = Constant<value_floats = [{number}.0]>() y = Add(x, n) }}"
    )


def number_of(grpc_url: str, name: str = NAME, credentials: Credentials = NONE) -> int:
    """The number of the version that answers a request that names none."""
    with open_client(grpc_url, credentials) as client:
        return int(infer(client, name, x=ZERO)["y"].item())
