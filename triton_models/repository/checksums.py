"""SHA-256 of the files of a version, where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

from triton_models.card import Card
from triton_models.errors import RepositoryError
from triton_models.storage import Storage


def checksums(folder: Path) -> dict[str, str]:
    """Each file below, at any depth, and its SHA-256 in hex."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check_files(version: Storage, card: Card) -> None:
    """Reads the files that a card names in the folder of its version, a few MiB at a time.

    Raises RepositoryError if one is missing or not what the card says.
    """
    for file, checksum in card.files.items():
        digest = hashlib.sha256()
        try:
            for piece in version.pieces(file):
                digest.update(piece)
        except FileNotFoundError as error:
            raise RepositoryError(f"{version.uri}/{file} is missing; {_NEXT}") from error
        if digest.hexdigest() != checksum:
            raise RepositoryError(f"{version.uri}/{file} is not what its card says (SHA-256 {checksum}); {_NEXT}")


_NEXT = "take another version, or make this one again"
