"""Which models and versions a repository holds, and what they say about themselves."""

from __future__ import annotations

import difflib

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.config import from_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.storage import Storage


def models(repository: Storage) -> list[str]:
    """The names of all folders of the repository that have a `config.pbtxt`, sorted."""
    return [name for name in repository.folders() if repository.stat(layout.config_path(name)) is not None]


def versions(repository: Storage, name: str) -> list[int]:
    """The numbers of all versions of a model, smallest first; none if there is no such model."""
    numbers = (layout.version_number(folder) for folder in repository.folders(name))
    return sorted(number for number in numbers if number is not None)


def newest(repository: Storage, name: str) -> int:
    """The highest version of a model that has a card, or the highest of all where none has one.

    In an object store a version without a card is one whose upload did not end.
    Raises RepositoryError, naming the models that are there.
    """
    found = versions(repository, name)
    if not found:
        raise RepositoryError(f"{repository.uri} has no model {name!r}; {_there_is(repository, name)}")
    whole = (number for number in reversed(found) if repository.stat(layout.card_path(name, number)) is not None)
    return next(whole, found[-1])


def read_config(repository: Storage, name: str) -> ModelConfig | None:
    """The config of a model, or None if there is no such model. Raises ConfigError."""
    path = layout.config_path(name)
    if repository.stat(path) is None:
        return None
    return from_pbtxt(repository.read(path).decode(errors="replace"), f"{repository.uri}/{path}")


def read_card(repository: Storage, name: str, version: int) -> Card:
    """The card of a version.

    Raises RepositoryError if there is no such version or it has no card, CardError if the card is broken.
    """
    path = layout.card_path(name, version)
    try:
        text = repository.read(path).decode(errors="replace")
    except FileNotFoundError as error:
        found = versions(repository, name)
        if not found:
            raise RepositoryError(f"{repository.uri} has no model {name!r}; {_there_is(repository, name)}") from error
        if version not in found:
            there = ", ".join(map(str, found))
            raise RepositoryError(f"{repository.uri} has no version {version} of {name}; it has {there}") from error
        raise RepositoryError(
            f"version {version} of {name} in {repository.uri} has no card; publish it with `rayton export`"
        ) from error
    return Card.from_json(text, f"{repository.uri}/{path}")


def _there_is(repository: Storage, name: str) -> str:
    found = models(repository)
    if not found:
        return "there is no model in it"
    near = difflib.get_close_matches(name, found, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(found)}"
