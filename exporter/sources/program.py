"""A program that `torch.export` captured: a `.pt2` file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, TensorArgument
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from exporter.arrays import Array
from exporter.chatter import captured
from exporter.errors import SourceError, first_line
from exporter.graph.settle import BATCH
from exporter.sources.module import ModuleSource, RunningModule, array_of
from exporter.sources.program_archive import refuse_code
from exporter.target import DEFAULT_TARGET, Target

USUAL_LENGTH = 16
"""How long a moving axis is where the program keeps no example, if that lies in its range."""
Axis = int | torch.SymInt


def open_program(path: Path, target: Target = DEFAULT_TARGET) -> ModuleSource:
    """Opens a program without running anything that lies in its file but its own operators. Raises SourceError."""
    refuse_code(path)
    with captured() as heard:
        try:
            program = torch.export.load(path)
            module = _Program(program)
        except SourceError:
            raise
        except Exception as error:  # PyTorch raises whatever it stumbles over
            raise SourceError(f"PyTorch cannot open {path.name}: {first_line(error)}", heard.getvalue()) from error
    shapes = {name: _shape(path, name, value) for name, value in module.tensors.items()}
    if not shapes:
        raise SourceError(f"{path.name} takes no tensor")
    axes, ranges = _moving(program, shapes)
    return ModuleSource(
        path.name,
        RunningModule(module, tuple(shapes), keywords=False),
        _examples(program, module.tensors, axes, ranges),
        axes,
        target,
        ranges,
    ).checked()


class _Program(torch.nn.Module):
    """Takes the tensors of a program in order, whatever structure it wants them in; other values stay as captured."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        # Conditions on sizes are Python code in the file; what they say is checked by the program's own ranges.
        self.program = program.module(check_guards=False)
        self.structure: TreeSpec = program.call_spec.in_spec
        self.fixed: list[Any] = []
        self.tensors: dict[str, torch.Tensor] = {}
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        for spec in program.graph_signature.input_specs:
            if spec.kind is not InputKind.USER_INPUT:
                continue
            if isinstance(spec.arg, ConstantArgument):
                self.fixed.append(spec.arg.value)
            elif isinstance(spec.arg, TensorArgument):
                self.fixed.append(_TENSOR)
                self.tensors[spec.arg.name] = values[spec.arg.name]
            else:
                raise SourceError(f"input {spec.arg.name} is a number that moves; inputs of a model are tensors")

    def train(self, mode: bool = True) -> _Program:
        """A captured program stays in the mode in which it was captured."""
        return self

    def forward(self, *tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        filled = [next(given) if value is _TENSOR else value for value in self.fixed]
        args, keywords = tree_unflatten(filled, self.structure)
        return self.program(*args, **keywords)


_TENSOR = object()


def _shape(path: Path, name: str, value: torch.Tensor) -> Sequence[Axis]:
    shape = tuple(value.shape)
    if not shape:
        raise SourceError(f"{path.name}: input {name} has no axis; the first axis of every input must be the row")
    if isinstance(shape[0], int):
        raise SourceError(
            f"{path.name}: input {name} has the fixed length {shape[0]} on its first axis, so requests cannot be "
            f'batched; export it again with torch.export.export(..., dynamic_shapes={{"{name}": {{0: Dim("batch")}}}})'
        )
    return shape


def _moving(
    program: ExportedProgram, shapes: Mapping[str, Sequence[Axis]]
) -> tuple[dict[str, dict[int, str]], dict[str, tuple[int, int]]]:
    """The moving axes by name, equal names for equal lengths, and the range of each."""
    names: dict[str, str] = {}
    ranges: dict[str, tuple[int, int]] = {}
    axes: dict[str, dict[int, str]] = {}
    for tensor, shape in shapes.items():
        for axis, size in enumerate(shape):
            if isinstance(size, int):
                continue
            name = BATCH if axis == 0 else names.setdefault(str(size), f"{tensor}_{axis}")
            lowest, highest = _range(program, size)
            known = ranges.get(name, (lowest, highest))
            ranges[name] = (max(lowest, known[0]), min(highest, known[1]))
            if axis > 0:
                axes.setdefault(tensor, {})[axis] = name
    unbounded = {name for name, (_, highest) in ranges.items() if highest == _ENDLESS}
    return axes, {name: bounds for name, bounds in ranges.items() if name not in unbounded or bounds[0] > 1}


_ENDLESS = 2**62


def _range(program: ExportedProgram, size: torch.SymInt) -> tuple[int, int]:
    found = program.range_constraints.get(size.node.expr)
    if found is None:
        return 1, _ENDLESS
    lowest, highest = float(found.lower), float(found.upper)
    # PyTorch notes 2 where it did not look at lengths of 0 and 1.
    return (1 if lowest <= 2 else int(lowest)), (int(highest) if math.isfinite(highest) else _ENDLESS)


def _examples(
    program: ExportedProgram,
    tensors: Mapping[str, torch.Tensor],
    axes: Mapping[str, Mapping[int, str]],
    ranges: Mapping[str, tuple[int, int]],
) -> dict[str, Array]:
    """The inputs that the program was captured with, or made ones where it keeps none."""
    kept = [one for one in tree_flatten(program.example_inputs)[0] if isinstance(one, torch.Tensor)]
    if len(kept) == len(tensors):
        return {name: array_of(name, value) for name, value in zip(tensors, kept, strict=True)}
    random = np.random.default_rng(0)
    return {name: _made(name, value, axes.get(name, {}), ranges, random) for name, value in tensors.items()}


def _made(
    name: str,
    value: torch.Tensor,
    axes: Mapping[int, str],
    ranges: Mapping[str, tuple[int, int]],
    random: np.random.Generator,
) -> Array:
    shape = [2]
    for axis, size in enumerate(value.shape[1:], 1):
        lowest, highest = ranges.get(axes.get(axis, ""), (1, _ENDLESS))
        shape.append(size if isinstance(size, int) else min(max(USUAL_LENGTH, lowest), highest))
    # Zero and one lie in every vocabulary and are what masks are made of.
    drawn = random.standard_normal(shape) if value.dtype.is_floating_point else random.integers(0, 2, shape)
    return array_of(name, torch.from_numpy(drawn).to(value.dtype))
