"""A version leaves a repository in one visible step, and never halfway."""

from __future__ import annotations

from collections import Counter

from triton_models.disk import sync_folder
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.staging import staging
from triton_models.repository.versions import newest, no_version, versions
from triton_models.storage import Storage


def retire(repository: Storage, name: str, version: int) -> int:
    """Takes a version away for good; returns how many bytes became free.

    Raises RepositoryError for the current version and for one that is not there; StorageError.
    """
    if version not in versions(repository, name):
        raise no_version(repository, name, version)
    if version == newest(repository, name):
        raise RepositoryError(
            f"version {version} is the current one of {name} in {repository.uri}; roll back first: "
            f"rayton models rollback {name}"
        )
    return take_away(repository, name, version)


def take_away(repository: Storage, name: str, version: int) -> int:
    """Removes a version, current or not; returns how many bytes became free.

    A folder gives it up with one rename. In an object store it is no version any more as soon as its card is gone;
    what a kill leaves behind is an unfinished version. Raises RepositoryError, StorageError.
    """
    freed = weight(repository, name, version)
    if repository.local is None:
        # Without a claim, files that lost their card would look like a version that was put there by hand.
        repository.create(layout.claim_path(name, version), b"retired")
        repository.delete(layout.card_path(name, version))
        empty(repository, name, version)
        return freed
    folder = repository.local / layout.version_path(name, version)
    with staging(repository) as staged:
        try:
            folder.rename(staged / folder.name)
            sync_folder(folder.parent)
        except OSError as error:
            raise RepositoryError(f"{folder} cannot be taken away: {error.strerror}; nothing was removed") from error
    return freed


def empty(repository: Storage, name: str, version: int) -> None:
    """Removes what there is of an unfinished version in an object store; its claim, which holds the number, last."""
    place = repository.at(layout.version_path(name, version))
    files = [one.path for one in place.objects(hidden=True)]
    place.delete(*(path for path in files if path != layout.CLAIM_FILE))
    place.delete(layout.CLAIM_FILE)


def weight(repository: Storage, name: str, version: int, gone: Counter[int] | None = None) -> int:
    """The bytes that become free when a version goes; a file that another version shares does not count.

    `gone` counts how often each file was there in the versions that go before this one, and this one is added.
    """
    folder = layout.version_path(name, version)
    if repository.local is None:
        return sum(one.size for one in repository.at(folder).objects(hidden=True))
    gone = Counter() if gone is None else gone
    found = [path.stat() for path in (repository.local / folder).rglob("*") if path.is_file()]
    gone.update(one.st_ino for one in found)
    return sum(one.st_size for one in found if one.st_nlink <= gone[one.st_ino])
