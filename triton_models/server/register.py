"""What runs on this node: each `rayton serve` leaves a note of which repository its server loads.

Triton tells its clients the tensors of a model but not where its files are; a job on the same node finds the cards and
tokenizers of a server through the note.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triton_models.disk import write_file


@contextmanager
def registered(home: Path, grpc_port: int, repository: str) -> Iterator[None]:
    """Keeps a note that this process serves `repository` on `grpc_port`; it is gone afterwards."""
    note = _note(home, grpc_port)
    write_file(note, json.dumps({"repository": repository, "pid": os.getpid()}).encode())
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def repository_served_on(home: Path, grpc_port: int) -> str | None:
    """The repository of the server that listens on `grpc_port` of this node, or None where no note tells."""
    try:
        note = json.loads(_note(home, grpc_port).read_text())
    except FileNotFoundError:
        return None
    alive = Path(f"/proc/{note['pid']}").exists()
    return str(note["repository"]) if alive else None


def _note(home: Path, grpc_port: int) -> Path:
    return home / "servers" / f"{grpc_port}.json"
