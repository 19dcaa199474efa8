"""How a version gets to its place: one rename in a folder; a claim, uploads and a card in an object store."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.config.pbtxt import to_pbtxt
from triton_models.disk import sync_folder, sync_tree
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.publishable import check_publishable
from triton_models.repository.removal import empty
from triton_models.repository.versions import numbers, read_config
from triton_models.storage import Storage

PutFile = Callable[[str, str], None]
"""Puts a file that a card names at a path of the repository."""


def place_in_folder(repository: Storage, staged: Path, card: Card, config: ModelConfig) -> bool:
    """One rename; False if another export took this number in the meantime."""
    assert repository.local is not None
    (staged / layout.CARD_FILE).write_text(card.to_json())
    model = repository.local / config.name
    if model.is_dir() and read_config(repository, config.name) is not None:
        source, target = staged, model / str(card.version)
    else:
        source, target = staged.parent / "model", model
        source.mkdir()
        (source / layout.CONFIG_FILE).write_text(to_pbtxt(config))
        staged.rename(source / str(card.version))
    sync_tree(source)
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise
        if source is not staged:
            (source / str(card.version)).rename(staged)
            shutil.rmtree(source)
        return False
    sync_folder(target.parent)
    return True


def place_in_store(repository: Storage, put_file: PutFile, card: Card, config: ModelConfig) -> bool:
    """Claims the number, puts the files, then the card, which makes a version of them; False if the number is taken.

    If it breaks off, what was uploaded is removed; if it is killed, it stays without a card, which nobody takes for a
    version.
    """
    version, claim = layout.version_path(config.name, card.version), layout.claim_path(config.name, card.version)
    token = uuid.uuid4().hex.encode()
    if not repository.create(claim, token):
        return False
    made_config = False
    try:
        for path in sorted(card.files):
            put_file(path, f"{version}/{path}")
        made_config = _make_config(repository, config)
        check_publishable(repository, config)  # the config may be that of another export, which ran meanwhile
        if _content(repository, claim) != token:
            raise RepositoryError(
                f"{repository.uri}/{claim} was removed while version {card.version} was uploaded; export it again"
            )
        repository.write(f"{version}/{layout.CARD_FILE}", card.to_json().encode())
    except BaseException:
        with suppress(Exception):  # the store that failed may fail again; what stays is unfinished, and `gc` removes it
            empty(repository, config.name, card.version)
            if made_config and not numbers(repository, config.name):
                repository.delete(layout.config_path(config.name))
        raise
    if not made_config:
        # Whoever made the config of a new model may have taken it away again, because its own version failed.
        _make_config(repository, config)
    return True


def _make_config(repository: Storage, config: ModelConfig) -> bool:
    """Whether the model had no config; then it has this one."""
    path = layout.config_path(config.name)
    return repository.stat(path) is None and repository.create(path, to_pbtxt(config).encode())


def _content(repository: Storage, path: str) -> bytes | None:
    try:
        return repository.read(path)
    except FileNotFoundError:
        return None
