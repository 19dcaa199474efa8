"""Models from a bucket bring graphs to a node, and no code."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.config.foreign import code_in
from triton_models.errors import RepositoryError
from triton_models.storage import Storage


def refuse_code(repository: Storage, config: ModelConfig, card: Card, version: int) -> None:
    """Raises RepositoryError if a server that loads this version from a bucket would run code that lies there.

    A folder of this machine is its operator's own, and may hold models of any backend.
    """
    if repository.local is None and (found := code_in(config, card.files)):
        raise RepositoryError(
            f"version {version} of {config.name} in {repository.uri} is not taken: {found}, so that who can write to "
            "the bucket could run code on this machine. If you trust it, copy it into a folder and serve that one"
        )
