"""Files of this machine that are seen whole or not at all, also after a crash."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

PIECE_BYTES = 2**20


def write_file(path: Path, content: bytes | pa.Buffer | Path) -> None:
    """Puts a file on the local disk in one step: a temporary file beside it, synced, then renamed over it."""
    with _written_beside(path, content) as temporary:
        temporary.replace(path)


def create_file(path: Path, content: bytes) -> bool:
    """Puts a file on the local disk in one step unless there is one; then False."""
    with _written_beside(path, content) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        return True


@contextmanager
def _written_beside(path: Path, content: bytes | pa.Buffer | Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, Path):
                with content.open("rb") as source:
                    shutil.copyfileobj(source, file, PIECE_BYTES)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(path: str) -> bool:
    """Whether this is what `write_file` leaves when it is killed halfway."""
    name = path.rsplit("/", 1)[-1]
    return name.startswith(".") and name.endswith(".tmp")


def sync_tree(folder: Path) -> None:
    """Everything below is on the disk afterwards, so that a rename may make it visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    for path in (*(one for one in folder.rglob("*") if one.is_dir()), folder):
        sync_folder(path)


def sync_folder(folder: Path) -> None:
    """What was renamed into or out of a folder stays so after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
