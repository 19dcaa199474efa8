"""SHA-256 of the files of a version, where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

from triton_models.card import Card
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.storage import Storage


def checksums(folder: Path) -> dict[str, str]:
    """Each file below, at any depth, and its SHA-256 in hex."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check_files(repository: Storage, card: Card, version: int) -> None:
    """Reads the files that a card names in the folder of a version, a few MiB at a time.

    Raises RepositoryError if one is missing or not what the card says.
    """
    for file, checksum in card.files.items():
        path = f"{layout.version_path(card.name, version)}/{file}"
        digest = hashlib.sha256()
        try:
            for piece in repository.pieces(path):
                digest.update(piece)
        except FileNotFoundError as error:
            raise RepositoryError(f"{repository.uri}/{path} is missing; {_NEXT}") from error
        if digest.hexdigest() != checksum:
            raise RepositoryError(f"{repository.uri}/{path} is not what its card says (SHA-256 {checksum}); {_NEXT}")


_NEXT = "take another version, or make this one again"
