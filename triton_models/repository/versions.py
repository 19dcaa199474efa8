"""Which models and versions a repository holds, and what they say about themselves."""

from __future__ import annotations

import difflib

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.config.foreign import strayed
from triton_models.config.pbtxt import from_pbtxt
from triton_models.errors import ConfigError, RepositoryError
from triton_models.repository import layout
from triton_models.storage import Storage


def models(repository: Storage) -> list[str]:
    """The names of all folders of the repository that have a `config.pbtxt`, sorted; also such as no model may have."""
    return [name for name in repository.folders() if repository.stat(f"{name}/{layout.CONFIG_FILE}") is not None]


def numbers(repository: Storage, name: str) -> list[int]:
    """The numbers of a model that are used up, smallest first: by versions, and by uploads that did not end."""
    found = (layout.version_number(folder) for folder in repository.folders(layout.checked_name(name)))
    return sorted(number for number in found if number is not None)


def versions(repository: Storage, name: str) -> list[int]:
    """The numbers of all versions of a model, smallest first; none if there is no such model.

    One that was put there by hand counts, even without a card.
    """
    return [number for number in numbers(repository, name) if not is_unfinished(repository, name, number)]


def is_unfinished(repository: Storage, name: str, number: int) -> bool:
    """Whether this is no version, but the beginning of one in an object store: claimed, and without a card."""
    return not _has_card(repository, name, number) and repository.stat(layout.claim_path(name, number)) is not None


def newest(repository: Storage, name: str) -> int:
    """The highest version of a model that has a card, or the highest of all where none has one.

    Raises RepositoryError, naming the models that are there.
    """
    found = numbers(repository, name)
    whole = (number for number in reversed(found) if _has_card(repository, name, number))
    by_hand = (number for number in reversed(found) if not is_unfinished(repository, name, number))
    current = next(whole, None) or next(by_hand, None)
    if current is None:
        raise no_model(repository, name)
    return current


def no_model(repository: Storage, name: str) -> RepositoryError:
    """The error for a model that is not there; it names those that are."""
    return RepositoryError(f"{repository.uri} has no model {name!r}; {_there_is(repository, name)}")


def no_version(repository: Storage, name: str, version: int) -> RepositoryError:
    """The error for a version that is not there; it names those that are."""
    found = versions(repository, name)
    if not found:
        return no_model(repository, name)
    there = ", ".join(map(str, found))
    if version in numbers(repository, name):
        return RepositoryError(
            f"version {version} of {name} in {repository.uri} is unfinished: its upload did not end; there is {there}"
        )
    return RepositoryError(f"{repository.uri} has no version {version} of {name}; it has {there}; choose one of them")


def read_config(repository: Storage, name: str) -> ModelConfig | None:
    """The config of a model, or None if there is no such model.

    Raises ConfigError, also for one that names files outside the model's folder.
    """
    path = layout.config_path(name)
    if repository.stat(path) is None:
        return None
    config = from_pbtxt(repository.read(path).decode(errors="replace"), f"{repository.uri}/{path}")
    if stray := strayed(config):
        raise ConfigError(f"{repository.uri}/{path}: {stray}, which is not in the folder of the model; correct it")
    return config


def read_card(repository: Storage, name: str, version: int) -> Card:
    """The card of a version.

    Raises RepositoryError if there is no such version or it has no card, CardError if the card is broken.
    """
    path = layout.card_path(name, version)
    try:
        text = repository.read(path).decode(errors="replace")
    except FileNotFoundError as error:
        if version not in versions(repository, name):
            raise no_version(repository, name, version) from error
        raise RepositoryError(
            f"version {version} of {name} in {repository.uri} has no card; publish it with `rayton export`"
        ) from error
    return Card.from_json(text, f"{repository.uri}/{path}")


def _has_card(repository: Storage, name: str, number: int) -> bool:
    return repository.stat(layout.card_path(name, number)) is not None


def _there_is(repository: Storage, name: str) -> str:
    found = models(repository)
    if not found:
        return "there is no model in it"
    near = difflib.get_close_matches(name, found, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(found)}"
