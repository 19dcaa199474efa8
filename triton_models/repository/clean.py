"""What a repository holds and nobody needs: old versions, uploads that did not end, folders of killed exports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from triton_models.errors import RepositoryError
from triton_models.repository import layout, staging
from triton_models.repository.overview import ModelSummary, summaries
from triton_models.repository.removal import empty, take_away, weight
from triton_models.repository.versions import no_model
from triton_models.storage import Storage


@dataclass(frozen=True)
class Removed:
    """Something that was removed, or would be: what it was, where it lay, and the bytes that this made free."""

    what: str
    uri: str
    bytes: int


def clean(
    repository: Storage, name: str | None, keep: int, unfinished_age_s: float, *, dry_run: bool = False
) -> list[Removed]:
    """Removes all but the newest `keep` versions of a model, or of all models without a `name`.

    Also uploads into an object store whose claim is older than `unfinished_age_s`, and what killed exports left where
    versions are put together. With `dry_run` nothing is removed. Raises RepositoryError, StorageError.
    """
    if keep < 1:
        raise RepositoryError(f"--keep is {keep}; it must be 1 or more: the current version always stays")
    found = [one for one in summaries(repository) if name in (None, one.name)]
    if name is not None and not found:
        raise no_model(repository, name)
    removed = []
    for model in found:
        removed += _clean_versions(repository, model, keep, dry_run)
        removed += _clean_unfinished(repository, model.name, model.unfinished, unfinished_age_s, dry_run)
    return removed + _clean_staging(repository, dry_run)


def _clean_versions(repository: Storage, model: ModelSummary, keep: int, dry_run: bool) -> list[Removed]:
    found, gone = [], Counter[int]()
    for number in model.versions[:-keep]:
        if number == model.current:  # those above it were put there without a card
            continue
        size = weight(repository, model.name, number, gone) if dry_run else take_away(repository, model.name, number)
        uri = f"{repository.uri}/{layout.version_path(model.name, number)}"
        found.append(Removed(f"version {number} of {model.name}", uri, size))
    return found


def _clean_unfinished(
    repository: Storage, name: str, numbers: tuple[int, ...], age_s: float, dry_run: bool
) -> list[Removed]:
    found = []
    for number in numbers:
        age = repository.age_s(layout.claim_path(name, number))
        if age is None or age < age_s:
            continue
        size = weight(repository, name, number)
        if not dry_run:
            empty(repository, name, number)
        uri = f"{repository.uri}/{layout.version_path(name, number)}"
        found.append(Removed(f"unfinished version {number} of {name}", uri, size))
    return found


def _clean_staging(repository: Storage, dry_run: bool) -> list[Removed]:
    found = []
    for folder in staging.abandoned(staging.staging_place(repository)):
        files = [path.stat() for path in folder.rglob("*") if path.is_file()]
        if not dry_run:
            staging.remove(folder)
        found.append(Removed("what a killed export left", str(folder), sum(one.st_size for one in files)))
    return found
