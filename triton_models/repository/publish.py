"""A version gets into a repository in one step, and never changes after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.config.model import MODEL_FILE
from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import RepositoryError, StorageError
from triton_models.repository import layout
from triton_models.repository.checksums import checksums
from triton_models.repository.differences import config_differences
from triton_models.repository.place import place_in_folder, place_in_store
from triton_models.repository.publishable import check_publishable
from triton_models.repository.versions import numbers, read_config
from triton_models.storage import Storage


@dataclass(frozen=True)
class Published:
    """A version that is now in its repository. `uri` is its folder there.

    `kept` tells in plain words how the config that the model had, and still has, differs from the one that was asked
    for; it is empty where there is no difference.
    """

    name: str
    version: int
    uri: str
    card: Card
    kept: tuple[str, ...] = ()


def publish(
    repository: Storage, staged: Path, card: Card, config: ModelConfig, *, replace_config: bool = False
) -> Published:
    """Makes the files of `staged` the next version of the model that `config` names.

    `staged` is a folder of `staging`; it holds `model.onnx` and, where there are any, `assets/`. The card gets its
    name, version, time and checksums here. A config that is in the repository is kept as the operator has tuned it,
    unless `replace_config`: then this one takes its place, in one step, as soon as the version is there.
    On a local disk the version appears with one rename; in an object store its number is claimed before anything is
    uploaded, and its card is written last. Raises RepositoryError if the tensors differ from those of the published
    versions, or if the place cannot be written to; StorageError. Then the repository is as it was.
    """
    if not (staged / MODEL_FILE).is_file():
        raise RepositoryError(f"{staged} holds no {MODEL_FILE}; nothing was published")
    with disk_explained(repository):
        return publish_files(repository, staged, replace(card, files=checksums(staged)), config, replace_config)


def publish_files(
    repository: Storage, staged: Path, card: Card, config: ModelConfig, replace_config: bool = False
) -> Published:
    """As `publish`, for files whose checksums are in the card."""

    def place(numbered: Card) -> bool:
        if repository.local is not None:
            return place_in_folder(repository, staged, numbered, config)
        return place_in_store(repository, lambda file, path: repository.write(path, staged / file), numbered, config)

    return publish_next(repository, card, config, place, replace_config)


def publish_next(
    repository: Storage, card: Card, config: ModelConfig, place: Callable[[Card], bool], replace_config: bool = False
) -> Published:
    """Gives `card` the next number that is free; `place` is False where another export has taken it by then."""
    card = replace(card, name=config.name, created=datetime.now(UTC).isoformat(timespec="seconds"))
    while True:
        check_publishable(repository, config)
        card = replace(card, version=max(numbers(repository, config.name), default=0) + 1)
        if place(card):
            break
    kept = read_config(repository, config.name)
    different = () if kept is None else tuple(config_differences(kept, config))
    if different and replace_config:
        _replace_config(repository, config, card.version)
    uri = f"{repository.uri}/{layout.version_path(config.name, card.version)}"
    return Published(config.name, card.version, uri, card, () if replace_config else different)


def _replace_config(repository: Storage, config: ModelConfig, version: int) -> None:
    try:
        repository.write(layout.config_path(config.name), to_pbtxt(config).encode())
    except (OSError, StorageError) as error:
        raise RepositoryError(
            f"version {version} of {config.name} is published, but its config could not be replaced ({error}): the old "
            "one is still there; write it by hand, or export again"
        ) from error


@contextmanager
def disk_explained(repository: Storage) -> Iterator[None]:
    """A full disk or a folder that may not be written to is for people too."""
    try:
        yield
    except OSError as error:
        raise RepositoryError(f"{repository.uri} cannot be written to ({error}); nothing was published") from error
