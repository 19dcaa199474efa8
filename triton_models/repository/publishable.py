"""Whether a version may be published under a name: its clients must not notice."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.tensors import differences
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.versions import read_config
from triton_models.storage import Storage


def check_publishable(repository: Storage, config: ModelConfig) -> None:
    """Raises RepositoryError if a model of this name is there whose clients a version with `config` would break."""
    layout.checked_name(config.name)
    published = read_config(repository, config.name)
    if published is None and repository.local is not None and any((repository.local / config.name).glob("*")):
        published = read_config(repository, config.name)  # another export may just have put the model there, whole
        if published is None:
            raise RepositoryError(
                f"{repository.uri}/{config.name} is there without a {layout.CONFIG_FILE}; give it one, or publish "
                "under another name"
            )
    broken = differences(published, config) if published is not None else []
    if broken:
        raise RepositoryError(
            f"model {config.name!r} in {repository.uri} has other tensors: {'; '.join(broken)}. A new version must "
            "take and give what the old ones do; publish under another name"
        )
