"""Where things lie in a model repository. Pure rules: nothing here touches a disk.

Every path is made of a name that a model may have; RepositoryError is raised for others, such as `../secrets`.
"""

from __future__ import annotations

import re

from triton_models.errors import RepositoryError

CONFIG_FILE = "config.pbtxt"
CARD_FILE = "card.json"
ASSETS = "assets"
CLAIM_FILE = ".claim"
"""In an object store, made before everything else of a version by the one export that may use its number."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""Triton counts versions with 64 bits."""


def checked_name(name: str) -> str:
    """The name, if a model may be called so. Raises RepositoryError."""
    if not is_name(name):
        raise RepositoryError(
            f"{name!r} cannot be the name of a model; use letters, digits, '.', '_' and '-', "
            "and begin with a letter or a digit"
        )
    return name


def is_name(name: str) -> bool:
    """Whether a model may be called so."""
    return _MODEL_NAME.fullmatch(name) is not None


def version_number(folder: str) -> int | None:
    """The version that a folder of this name holds, or None if it holds none."""
    return int(folder) if _VERSION.fullmatch(folder) else None


def config_path(name: str) -> str:
    """`config.pbtxt` of a model, relative to the repository."""
    return f"{checked_name(name)}/{CONFIG_FILE}"


def version_path(name: str, version: int) -> str:
    """The folder of a version, relative to the repository."""
    return f"{checked_name(name)}/{version:d}"


def card_path(name: str, version: int) -> str:
    """The card of a version, relative to the repository."""
    return f"{version_path(name, version)}/{CARD_FILE}"


def claim_path(name: str, version: int) -> str:
    """The claim of a version, relative to the repository."""
    return f"{version_path(name, version)}/{CLAIM_FILE}"
