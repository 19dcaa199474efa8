"""Rayton's folder on a machine: the embedded server's environment, logs, and notes of running servers lie in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def rayton_home(environment: Mapping[str, str]) -> Path:
    """`RAYTON_HOME`, or `~/.local/share/rayton`."""
    return Path(environment.get("RAYTON_HOME") or "~/.local/share/rayton").expanduser().absolute()
