"""A repository's copy on this machine: whole, checked, and there when the store is not.

    FOLDER/lock           held by the one process that uses the folder
    FOLDER/source.json    which repository this is a copy of; written anew each time both were seen to agree
    FOLDER/incoming/      downloads that are under way; never below models/, where each folder counts as a model
    FOLDER/models/        the copy, a repository of its own that a server can load

The config of a model in `models/` names the versions that are served, and only those that were downloaded whole. It is
what moves a model from one version to the next, in one step.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from triton_models.config.pbtxt import from_pbtxt
from triton_models.disk import is_temporary, sync_folder, write_file
from triton_models.errors import CardError, ConfigError, RepositoryError
from triton_models.repository import layout
from triton_models.repository.checksums import check_files
from triton_models.repository.download import download_version
from triton_models.repository.versions import read_card
from triton_models.repository.wanted import Wanted, card_of
from triton_models.storage import Storage, open_storage

SOURCE_FILE = "source.json"


@dataclass(frozen=True)
class Cache:
    """The copy of the repository at `uri` in `folder`, which must be used inside `open_cache`."""

    folder: Path
    uri: str
    endpoint_url: str | None = None

    @property
    def models(self) -> Path:
        """The copy itself, a local repository."""
        return self.folder / "models"

    def names(self) -> list[str]:
        """The models that the copy has."""
        return sorted(path.name for path in self.models.iterdir())

    def age_s(self) -> float | None:
        """Seconds since the copy was last seen to be what the repository asks for; None if it never was."""
        agreed = json.loads((self.folder / SOURCE_FILE).read_text())["agreed"]
        return None if agreed is None else time.time() - agreed

    def agree(self) -> None:
        """Notes that the copy is what the repository asks for at this moment. Raises RepositoryError."""
        with self._explained():
            self._write_source(time.time())

    def served(self, name: str) -> list[int]:
        """The versions that the copy serves of a model; none if it does not have it. Raises ConfigError."""
        config = self._config(name)
        if config is None:
            return []
        return sorted(from_pbtxt(config, str(self._config_path(name))).version_policy.specific.versions)

    def holds(self, model: Wanted) -> bool:
        """Whether the copy serves exactly this."""
        cards = {version: self._card(model.name, version) for version in model.cards}
        return self._config(model.name) == model.config and cards == model.cards

    def fetch(self, repository: Storage, model: Wanted) -> None:
        """Downloads the versions that are not there yet from the repository; what is served does not change.

        Raises RepositoryError, CardError, StorageError; then nothing of the version that failed is in the copy.
        """
        for version, content in model.cards.items():
            if self._card(model.name, version) == content:
                continue
            source = repository.at(layout.version_path(model.name, version))
            card = card_of(content, f"{source.uri}/{layout.CARD_FILE}")
            with self._scratch() as scratch:
                staged = scratch / "version"
                staged.mkdir()
                write_file(staged / layout.CARD_FILE, content)
                download_version(source, card, staged)
                self._place(staged, self.models / layout.version_path(model.name, version))

    def point(self, name: str, config: str | None) -> str | None:
        """Lets the copy serve the versions that `config` names, None for no more of the model; gives the former config.

        Raises RepositoryError.
        """
        former = self._config(name)
        with self._explained():
            if config is None:
                self._remove(self.models / name)
            else:
                write_file(self._config_path(name), config.encode())
                sync_folder(self.models / name)  # before the former versions go, also through a power cut
        return former

    def tidy(self, name: str) -> None:
        """Removes the versions that are not served. Raises RepositoryError."""
        kept = {str(version) for version in self.served(name)}
        with self._explained():
            for path in (self.models / name).iterdir():
                if path.is_dir() and path.name not in kept:
                    self._remove(path)

    def drop_damaged(self, name: str) -> str | None:
        """Compares what is served of a model with its checksums; removes the model and says why if it differs."""
        try:
            self._check(name)
        except (CardError, ConfigError, RepositoryError) as error:
            with self._explained():
                self._remove(self.models / name)
            return str(error)
        return None

    def _check(self, name: str) -> None:
        local, served = open_storage(str(self.models)), self.served(name)
        if not served:
            raise RepositoryError(f"{self._config_path(name)} names no version")
        for version in served:
            check_files(local.at(layout.version_path(name, version)), read_card(local, name, version))

    def _card(self, name: str, version: int) -> bytes | None:
        return _content(self.models / layout.card_path(name, version))

    def _config(self, name: str) -> str | None:
        found = _content(self._config_path(name))
        return None if found is None else found.decode(errors="replace")

    def _config_path(self, name: str) -> Path:
        return self.models / layout.config_path(name)

    def _place(self, staged: Path, target: Path) -> None:
        """One rename; what had the same number goes first."""
        with self._explained():
            sync_folder(staged)
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                self._remove(target)
            staged.rename(target)
            sync_folder(target.parent)

    def _remove(self, folder: Path) -> None:
        """Out of the copy in one step, and then piece by piece."""
        if folder.exists():
            with self._scratch() as scratch:
                folder.rename(scratch / "removed")

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        with self._explained(), tempfile.TemporaryDirectory(dir=self.folder / "incoming") as scratch:
            yield Path(scratch)

    def _refuse_strangers(self) -> None:
        if not self.folder.exists():
            return
        there = {path.name for path in self.folder.iterdir() if not is_temporary(path.name)}
        strangers = there - {"lock", SOURCE_FILE, "incoming", "models"}
        if not (self.folder / SOURCE_FILE).exists() and any(self.folder.glob("models/*")):
            strangers.add("models")
        if strangers:
            raise RepositoryError(
                f"{self.folder} holds something else ({sorted(strangers)[0]}), not the copy of a repository; give an "
                "empty folder or one that is not there"
            )

    def _check_source(self) -> None:
        if not (self.folder / SOURCE_FILE).exists():
            self._write_source(None)
        found = json.loads((self.folder / SOURCE_FILE).read_text())
        if (found["repository"], found["endpoint_url"]) != (self.uri, self.endpoint_url):
            at = f" at {found['endpoint_url']}" if found["endpoint_url"] else ""
            raise RepositoryError(
                f"{self.folder} holds the copy of {found['repository']}{at}, not of {self.uri}; give another --cache"
            )

    def _write_source(self, agreed: float | None) -> None:
        source = {"repository": self.uri, "endpoint_url": self.endpoint_url, "agreed": agreed}
        write_file(self.folder / SOURCE_FILE, json.dumps(source).encode())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RepositoryError(f"the copy in {self.folder} cannot be changed: {error}") from error


@contextmanager
def open_cache(folder: Path, uri: str, endpoint_url: str | None = None) -> Iterator[Cache]:
    """The copy of a repository in `folder`, made if it is not there; for this process alone until the block ends.

    The repository itself is not asked for anything. Raises RepositoryError if another process uses the folder, or if it
    holds something else.
    """
    cache = Cache(folder.absolute(), uri, endpoint_url)
    with cache._explained():
        cache._refuse_strangers()
        cache.models.mkdir(parents=True, exist_ok=True)
        lock = (cache.folder / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel gives it back when this process dies
        except BlockingIOError as error:
            raise RepositoryError(
                f"another `rayton serve` uses the copy in {folder}; give this one a --cache of its own"
            ) from error
        with cache._explained():
            cache._check_source()
            shutil.rmtree(cache.folder / "incoming", ignore_errors=True)
            (cache.folder / "incoming").mkdir()
        yield cache


def default_folder(home: Path, uri: str, endpoint_url: str | None) -> Path:
    """Where the copy of a repository is kept if nobody says otherwise: below `home`, one folder for each repository."""
    digest = hashlib.sha256(f"{uri} {endpoint_url}".encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", uri).strip("-")
    return home / "copies" / f"{readable[:80]}-{digest}"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
