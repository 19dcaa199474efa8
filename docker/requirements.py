"""Prints what Rayton needs with some of its extras, for a layer that changes only when that does.

python requirements.py PYPROJECT [EXTRA ...]
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The dependencies of the project and those of each extra, without repetitions. Raises KeyError."""
    project = tomllib.loads(pyproject.read_text())["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return list(dict.fromkeys(line for group in groups for line in group))


if __name__ == "__main__":
    print(*requirements(Path(sys.argv[1]), sys.argv[2:]), sep="\n")
