"""Collects real texts that every machine has: the docstrings of the installed packages."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def collect(folder: Path, wanted: int) -> int:
    """Writes up to `wanted` different docstrings to Parquet in `folder`: `id` and `body`. Gives their number."""
    place_of: dict[str, str] = {}
    for place, text in _docstrings(Path(sysconfig.get_path("purelib"))):
        place_of.setdefault(text, place)
        if len(place_of) == wanted:
            break
    rows = [{"id": place, "body": text} for text, place in place_of.items()]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "docstrings.parquet")
    return len(rows)


def _docstrings(packages: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(packages.rglob("*.py")):
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            continue  # a template or a test of broken syntax: not a module
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    line = getattr(node, "lineno", 1)
                    yield f"{file.relative_to(packages)}:{line} {getattr(node, 'name', '')}".rstrip(), text
