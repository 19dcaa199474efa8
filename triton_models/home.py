"""Rayton's folder on a machine: the embedded server's environment and the notes of running servers lie in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def home_from(environment: Mapping[str, str]) -> Path:
    """`RAYTON_HOME`, or `rayton` where the user's data lies (`XDG_DATA_HOME`, `~/.local/share`)."""
    if "RAYTON_HOME" in environment:
        return Path(environment["RAYTON_HOME"]).expanduser().absolute()
    data = environment.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "rayton"
