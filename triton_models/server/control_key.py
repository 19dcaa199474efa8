"""The key that opens what a server has restricted: kept in a file, and shown nowhere else."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from triton_models.server.errors import CredentialsError

HEADER = "rayton-control"
"""Under this name Triton looks for the key in the headers of an HTTP request."""
GRPC_HEADER = f"triton-grpc-protocol-{HEADER}"
RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
"""What is closed to those without the key: all that changes a server. Jobs and online users need none of it."""

_KEY = re.compile(r"[A-Za-z0-9_-]{16,}")


def read_control_key(path: Path) -> str:
    """The key in a file. Raises CredentialsError, without the content, for a file that holds none."""
    try:
        found = path.expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"the control key {path} cannot be read: {_cause(error)}") from error
    if not _KEY.fullmatch(found):
        raise CredentialsError(
            f"{path} does not hold a control key: it has to be one line of at least 16 letters, digits, _ and -; "
            "make one with `openssl rand -hex 32`"
        )
    return found


def made_control_key(path: Path) -> Path:
    """The file of a random key that only this user can read; made where there is none. Raises CredentialsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            scratch = path.with_name(f"{path.name}.{os.getpid()}")
            scratch.unlink(missing_ok=True)
            try:
                scratch.touch(0o600, exist_ok=False)
                scratch.write_text(f"{secrets.token_urlsafe(32)}\n")
                os.link(scratch, path)  # whole or not at all, and never over the key of another server
            finally:
                scratch.unlink(missing_ok=True)
    except OSError as error:
        raise CredentialsError(f"no control key can be kept in {path}: {_cause(error)}") from error
    return path


def open_to_others(*paths: Path | None) -> list[str]:
    """What is to be said of each of these files with a secret that other users of the machine may read."""
    return [
        f"other users of this machine may read {path}, which is a secret; `chmod 600 {path}` keeps them out"
        for path in paths
        if path is not None and _is_open(path.expanduser().stat())
    ]


def _is_open(file: os.stat_result) -> bool:
    """Whether others may read a file. One that belongs to another user is given to this one by its group, as
    Kubernetes mounts secrets."""
    return bool(file.st_mode & (0o077 if file.st_uid == os.geteuid() else 0o007))


def _cause(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else "it is no text") or str(error)
