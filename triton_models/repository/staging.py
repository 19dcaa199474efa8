"""Where a version is put together, and how what a killed export left there is told from what a living one needs."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from triton_models.errors import RepositoryError
from triton_models.storage import Storage

PREFIX = ".rayton-staging-"
_LOCK = "lock"


@contextmanager
def staging(repository: Storage) -> Iterator[Path]:
    """An empty folder in which a version is put together; it is gone afterwards, whatever happened.

    It lies beside a local repository, on the same file system, so that one rename publishes it. It must not lie inside:
    Triton takes every folder there for a model, and one inside a model for a version. What killed exports left behind
    is removed first. Raises RepositoryError.
    """
    try:
        beside = _beside(repository)
        for left in abandoned(beside):
            remove(left)
        folder, lock = _locked_folder(beside)
    except OSError as error:
        raise RepositoryError(f"a version cannot be put together beside {repository.uri}: {error}") from error
    try:
        staged = folder / "version"
        staged.mkdir()
        yield staged
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def staging_place(repository: Storage) -> Path:
    """The folder in which `staging` makes its folders."""
    return Path(tempfile.gettempdir()) if repository.local is None else repository.local.parent


def abandoned(place: Path) -> list[Path]:
    """The folders of `staging` in `place` whose process has ended."""
    found = sorted(place.glob(f"{PREFIX}*"))
    return [folder for folder in found if not folder.is_symlink() and _is_abandoned(folder)]


def remove(folder: Path) -> None:
    """Removes an abandoned folder, unless someone else does."""
    try:
        lock = _lock(folder)
    except OSError:
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _beside(repository: Storage) -> Path:
    """The folder that holds a local repository, which is made if it is not there."""
    beside = staging_place(repository)
    if repository.local is None:
        return beside
    repository.local.mkdir(parents=True, exist_ok=True)
    if beside.stat().st_dev != repository.local.stat().st_dev:
        raise RepositoryError(
            f"{repository.uri} is the root of a file system, so a version cannot be put together beside it and "
            f"renamed into it; use a folder below, such as {repository.local / 'models'}"
        )
    return beside


def _locked_folder(place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        # Until it is locked, another export may take the new folder for an abandoned one: then it is tried again.
        with suppress(FileNotFoundError, BlockingIOError):
            return folder, _lock(folder)


def _lock(folder: Path) -> int:
    """Locks a folder for as long as the file that is returned is open, at most until this process ends.

    Raises BlockingIOError if another process holds it, FileNotFoundError if it is gone.
    """
    path = folder / _LOCK
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino != path.stat().st_ino:
            raise FileNotFoundError(path)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _is_abandoned(folder: Path) -> bool:
    try:
        os.close(_lock(folder))
    except OSError:  # a living process has it, it is gone, or it belongs to someone else
        return False
    return True
