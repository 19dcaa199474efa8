"""What a repository holds, one line a model."""

from __future__ import annotations

from dataclasses import dataclass

from triton_models.card import Card
from triton_models.errors import CardError, RepositoryError
from triton_models.repository import layout
from triton_models.repository.versions import models, newest, numbers, read_card, versions
from triton_models.storage import Storage


@dataclass(frozen=True)
class ModelSummary:
    """A model: its versions, the current one of them with its card and its bytes, and uploads that did not end.

    `card` is None where the current version has none that can be read, and `problem` says why; `current` is 0 where
    there is no version at all.
    """

    name: str
    versions: tuple[int, ...]
    unfinished: tuple[int, ...]
    current: int = 0
    card: Card | None = None
    bytes: int = 0
    problem: str = ""


def summaries(repository: Storage) -> list[ModelSummary]:
    """All models of a repository, and all folders in which an upload did not end. Raises StorageError."""
    there = set(models(repository))
    found = [summary(repository, name) for name in repository.folders() if layout.is_name(name)]
    return [one for one in found if one.name in there or one.unfinished]


def summary(repository: Storage, name: str) -> ModelSummary:
    """One model, with no version if there is none. Raises StorageError."""
    whole = tuple(versions(repository, name))
    unfinished = tuple(number for number in numbers(repository, name) if number not in whole)
    if not whole:
        return ModelSummary(name, whole, unfinished, problem="no version")
    current = newest(repository, name)
    size = sum(one.size for one in repository.at(layout.version_path(name, current)).objects())
    try:
        return ModelSummary(name, whole, unfinished, current, read_card(repository, name, current), size)
    except (CardError, RepositoryError) as error:
        return ModelSummary(name, whole, unfinished, current, None, size, str(error))
