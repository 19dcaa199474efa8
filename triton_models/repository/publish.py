"""A version gets into a repository in one step, and never changes after."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card
from triton_models.config import MODEL_FILE, differences, to_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.versions import read_config, versions
from triton_models.storage import Storage


@dataclass(frozen=True)
class Published:
    """A version that is now in its repository. `uri` is its folder there."""

    name: str
    version: int
    uri: str
    card: Card


@contextmanager
def staging(repository: Storage) -> Iterator[Path]:
    """An empty folder in which a version is put together; it is gone afterwards, whatever happened.

    It lies beside a local repository, on the same file system, so that one rename publishes it. It must not lie inside:
    Triton takes every folder there for a model, and one inside a model for a version. Raises RepositoryError.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=".rayton-staging-", dir=_beside(repository)))
    except OSError as error:
        raise RepositoryError(f"a version cannot be put together beside {repository.uri}: {error}") from error
    try:
        staged = folder / "version"
        staged.mkdir()
        yield staged
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _beside(repository: Storage) -> Path | None:
    """The folder that holds a local repository, which is made if it is not there."""
    if repository.local is None:
        return None
    repository.local.mkdir(parents=True, exist_ok=True)
    beside = repository.local.parent
    if beside.stat().st_dev != repository.local.stat().st_dev:
        raise RepositoryError(
            f"{repository.uri} is the root of a file system, so a version cannot be put together beside it and "
            f"renamed into it; use a folder below, such as {repository.local / 'models'}"
        )
    return beside


def check_publishable(repository: Storage, config: ModelConfig) -> None:
    """Raises RepositoryError if a model of this name is there whose clients a version with `config` would break."""
    layout.checked_name(config.name)
    published = read_config(repository, config.name)
    if published is None and repository.local is not None and any((repository.local / config.name).glob("*")):
        raise RepositoryError(
            f"{repository.uri}/{config.name} is there without a {layout.CONFIG_FILE}; give it one, or publish under "
            "another name"
        )
    broken = differences(published, config) if published is not None else []
    if broken:
        raise RepositoryError(
            f"model {config.name!r} in {repository.uri} has other tensors: {'; '.join(broken)}. A new version must "
            "take and give what the old ones do; publish under another name"
        )


def publish(repository: Storage, staged: Path, card: Card, config: ModelConfig) -> Published:
    """Makes the files of `staged` the next version of the model that `config` names.

    `staged` is a folder of `staging`; it holds `model.onnx` and, where there are any, `assets/`. The card gets its
    name, version, time and checksums here. A config that is in the repository is kept as the operator has tuned it.
    On a local disk the version appears with one rename; in an object store its card is written last.
    Raises RepositoryError if the tensors differ from those of the published versions.
    """
    if not (staged / MODEL_FILE).is_file():
        raise RepositoryError(f"{staged} holds no {MODEL_FILE}; nothing was published")
    card = dataclasses.replace(
        card, name=config.name, created=datetime.now(UTC).isoformat(timespec="seconds"), files=_checksums(staged)
    )
    place = _place_object if repository.local is None else _place_local
    while True:
        check_publishable(repository, config)
        version = max(versions(repository, config.name), default=0) + 1
        card = dataclasses.replace(card, version=version)
        if place(repository, staged, card, config):
            uri = f"{repository.uri}/{layout.version_path(config.name, version)}"
            return Published(config.name, version, uri, card)


def _place_local(repository: Storage, staged: Path, card: Card, config: ModelConfig) -> bool:
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
    _sync(source)
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise
        if source is not staged:
            (source / str(card.version)).rename(staged)
            shutil.rmtree(source)
        return False
    _sync_folder(target.parent)
    return True


def _place_object(repository: Storage, staged: Path, card: Card, config: ModelConfig) -> bool:
    """Uploads; the card comes last, and a version without a card is not one for `rayton`."""
    target = layout.version_path(config.name, card.version)
    for path in sorted(card.files):
        repository.write(f"{target}/{path}", (staged / path).read_bytes())
    if read_config(repository, config.name) is None:
        repository.write(layout.config_path(config.name), to_pbtxt(config).encode())
    repository.write(f"{target}/{layout.CARD_FILE}", card.to_json().encode())
    return True


def _checksums(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _sync(folder: Path) -> None:
    """Everything below is on the disk before the rename makes it visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    for path in (*(one for one in folder.rglob("*") if one.is_dir()), folder):
        _sync_folder(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
