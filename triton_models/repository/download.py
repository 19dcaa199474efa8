"""The files of a version, from its repository to the local disk: in pieces, and compared with their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

from triton_models.card import Card
from triton_models.disk import sync_tree
from triton_models.errors import RepositoryError
from triton_models.storage import Storage

ATTEMPTS = 3
"""A transfer can be damaged on its way. A store that fails is asked again by its own client, not here."""


def download_version(version: Storage, card: Card, folder: Path) -> None:
    """Puts every file of a version, in which `card` lies, into `folder`, where they stay through a power cut.

    The card itself is left to the caller. Raises RepositoryError if a file is missing, if it is still not what the card
    says after several attempts, or if the disk does not take it; CardError if the card names files elsewhere;
    StorageError if the store fails.
    """
    for file, checksum in card.files.items():
        target = folder / file
        try:
            _download(version, file, target, checksum)
        except FileNotFoundError as error:
            raise RepositoryError(f"{version.uri}/{file} is missing; export the model again") from error
        except OSError as error:
            raise RepositoryError(f"{target} cannot be written: {error.strerror}; is the disk full?") from error
    sync_tree(folder)


def _download(version: Storage, file: str, target: Path, checksum: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(ATTEMPTS):
        digest = hashlib.sha256()
        with target.open("wb") as content:
            for piece in version.pieces(file):
                digest.update(piece)
                content.write(piece)
        if digest.hexdigest() == checksum:
            return
    target.unlink()
    raise RepositoryError(f"{version.uri}/{file} is not what its card says (SHA-256 {checksum}); export it again")
