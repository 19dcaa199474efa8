"""Names from outside that become paths: they stay in the folder that they are for."""

from __future__ import annotations


def is_inside(path: str) -> bool:
    """Whether a path is relative and stays below the folder that it is relative to, in whatever way it is joined."""
    return bool(path) and not path.startswith("/") and "\0" not in path and ".." not in path.split("/")
