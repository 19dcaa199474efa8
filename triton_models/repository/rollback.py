"""An old version becomes the newest again, under a number of its own."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.checksums import check_files
from triton_models.repository.place import place_in_store
from triton_models.repository.publish import Published, disk_explained, publish_files, publish_next
from triton_models.repository.staging import staging
from triton_models.repository.versions import newest, no_version, read_card, read_config, versions
from triton_models.storage import Storage


def roll_back(repository: Storage, name: str, to: int | None = None) -> Published:
    """Publishes the content of version `to` once more, under the next number; its card says of what it is a copy.

    Without `to` it is the version before the current one. Where the current one is such a copy itself, it is the one
    before the original: rolling back twice goes two versions back. On a local disk the files are linked, not copied.
    The config stays. Raises RepositoryError if there is no such version or its files are not what its card says.
    """
    layout.checked_name(name)
    current = newest(repository, name)
    if to is None:
        to = _before(repository, name, current)
    if to == current:
        raise RepositoryError(f"version {to} of {name} in {repository.uri} is the current one already")
    if to not in versions(repository, name):
        raise no_version(repository, name, to)
    old = read_card(repository, name, to)
    config = read_config(repository, name)
    if config is None:
        raise RepositoryError(f"{repository.uri}/{layout.config_path(name)} is missing; export {name} again")
    card = replace(old, copy_of=old.copy_of or to)
    with disk_explained(repository):
        place = _in_folder if repository.local else _in_store
        return place(repository, layout.version_path(name, to), card, config)


def _before(repository: Storage, name: str, current: int) -> int:
    card = read_card(repository, name, current)
    original = card.copy_of or current
    earlier = [number for number in versions(repository, name) if number < original]
    if not earlier:
        copy = f", a copy of version {original}" if card.copy_of else ""
        raise RepositoryError(
            f"{name} in {repository.uri} has no version before {original} (the current one is {current}{copy}); "
            "choose one with --to"
        )
    return earlier[-1]


def _in_folder(repository: Storage, source: str, card: Card, config: ModelConfig) -> Published:
    assert repository.local is not None
    with staging(repository) as staged:
        check_files(repository.at(source), card)
        for file in card.files:
            _link(repository.local / source / file, staged / file)
        return publish_files(repository, staged, card, config)


def _in_store(repository: Storage, source: str, card: Card, config: ModelConfig) -> Published:
    def place(numbered: Card) -> bool:
        def copy(file: str, target: str) -> None:
            repository.copy(f"{source}/{file}", target)

        return place_in_store(repository, copy, numbered, config)

    check_files(repository.at(source), card)
    return publish_next(repository, card, config, place)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # a file system without hard links
        os.link(source, target)
        return
    shutil.copyfile(source, target)
