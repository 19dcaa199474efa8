"""Chosen versions of a repository as a local folder that a server can load, and nothing but them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.checksums import check_files
from triton_models.repository.download import download_version
from triton_models.repository.foreign import refuse_code
from triton_models.repository.versions import read_card, read_config
from triton_models.storage import Storage


def check_out(repository: Storage, versions: Mapping[str, int], folder: Path) -> None:
    """Puts one version of each model into `folder`, an empty one, as a repository of its own.

    Versions of a local repository are linked, not copied; those in an object store are downloaded. Both are compared
    with the checksums of their card. The config is that of the repository, but for its version policy: a server that
    loads the folder serves exactly these versions. Raises RepositoryError, CardError, ConfigError, StorageError.
    """
    for name, version in versions.items():
        card = read_card(repository, name, version)
        config = read_config(repository, name)
        if config is None:
            raise RepositoryError(f"{repository.uri}/{layout.config_path(name)} is missing; export {name} again")
        refuse_code(repository, config, card, version)
        config.version_policy.CopyFrom(ModelVersionPolicy(specific=ModelVersionPolicy.Specific(versions=[version])))
        (folder / name).mkdir()
        (folder / layout.config_path(name)).write_text(to_pbtxt(config))
        path = layout.version_path(name, version)
        target = folder / path
        if repository.local is None:
            download_version(repository.at(path), card, target)
            continue
        check_files(repository.at(path), card)
        target.symlink_to(repository.local / path, target_is_directory=True)
