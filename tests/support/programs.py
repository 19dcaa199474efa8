"""`.pt2` files: programs that `torch.export` captured, and such files that were tampered with."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from exporter.chatter import captured
from exporter.sources.module import ModuleSource

BATCH = Dim("batch")


class Scored(nn.Module):
    """`x` [batch, steps, 4], `mask` [batch, steps] by name, and a fixed number -> a nest of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, power: int, *, mask: torch.Tensor) -> dict[str, Any]:
        found = self.layer(x) * mask.unsqueeze(-1)
        return {"all": found, "none": None, "sums": (found.sum(1), {"powers": found.sum(1) ** power})}


def scored(path: Path) -> Path:
    """A program of 2 to 64 steps."""
    torch.manual_seed(0)
    steps = Dim("steps", min=3, max=12)
    moving = {"x": {0: BATCH, 1: steps}, "power": None, "mask": {0: BATCH, 1: steps}}
    return saved(Scored().eval(), path, (torch.randn(2, 5, 4), 2), {"mask": torch.ones(2, 5)}, moving)


def saved(
    module: nn.Module,
    path: Path,
    examples: tuple[Any, ...],
    keywords: dict[str, Any] | None = None,
    moving: Any = ({0: BATCH},),
    with_examples: bool = True,
) -> Path:
    """Captures a module and saves the program."""
    with captured():
        program = torch.export.export(module, examples, keywords, dynamic_shapes=moving)
    if not with_examples:
        program.example_inputs = None
    torch.export.save(program, path)
    return path


def program_of(source: ModuleSource, path: Path) -> Path:
    """The module of a source as a program, with the same inputs by name and the same moving axes."""
    moving = {
        name: {0: Dim.DYNAMIC, **dict.fromkeys(source.axes.get(name, {}), Dim.DYNAMIC)} for name in source.examples
    }
    # A batch of one would be taken for a constant.
    examples = {name: torch.from_numpy(np.repeat(array, 2, axis=0)) for name, array in source.examples.items()}
    return saved(source.running.module, path, (), examples, moving)


def tampered(path: Path, to: Path, record: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a `.pt2` file in which one record was changed; one that is not there is added."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        names = old.namelist()
        root = names[0].partition("/")[0]
        for name in names:
            content = old.read(name)
            new.writestr(name, change(content) if name == f"{root}/{record}" else content)
        if f"{root}/{record}" not in names:
            new.writestr(f"{root}/{record}", change(b""))
    return to


def in_program(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    """Changes the program's own JSON."""

    def run(content: bytes) -> bytes:
        program = json.loads(content)
        change(program)
        return json.dumps(program).encode()

    return run
