"""A model out of Python code: `package.module:factory` or `path/to/file.py:factory`.

The factory is called without arguments and returns `(model, examples)` or `(model, examples, axes)`:

    def factory():
        return Classifier(), {"image": torch.randn(1, 3, 64, 64)}, {"image": {2: "height", 3: "width"}}

`model` is an `nn.Module`. `examples` are its inputs, a tuple in the order of `forward` or a dict by its parameter
names; their first axis is the row. `axes` names the other axes whose length moves; equal names have equal lengths.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from exporter.arrays import Tensors
from exporter.errors import SourceError
from exporter.samples import Axes
from exporter.sources.module import ModuleSource, RunningModule, array_of
from exporter.target import DEFAULT_TARGET, Target

CONTRACT = "a factory returns (model, examples) or (model, examples, axes)"


def open_factory(reference: str, axes: Axes | None = None, target: Target = DEFAULT_TARGET) -> ModuleSource:
    """Imports and calls the factory that `reference` names; `axes` take the place of those that it returns.

    Raises SourceError.
    """
    place, _, name = reference.rpartition(":")
    with _in_reach(Path(place).resolve().parent if place.endswith(".py") else Path.cwd()):
        factory = getattr(_imported(place), name, None)
        if not callable(factory):
            raise SourceError(f"{place} has no function {name!r}")
        try:
            returned = factory()
        except Exception as error:
            raise SourceError(f"{reference} failed: {_said(error)}", traceback.format_exc()) from error
    label = f"{Path(place).name if place.endswith('.py') else place}:{name}"
    return _checked(label, returned, axes, target)


def _checked(label: str, returned: Any, moving: Axes | None, target: Target) -> ModuleSource:
    if isinstance(returned, torch.nn.Module):
        raise SourceError(
            f"{label} returned a module alone, and what it takes is seen from an example: return it as "
            f"(model, (torch.randn(1, 3, 224, 224),)), with the shapes of yours; {CONTRACT}"
        )
    if not isinstance(returned, tuple) or len(returned) not in (2, 3) or not isinstance(returned[0], torch.nn.Module):
        raise SourceError(f"{label} returned {_described(returned)}; {CONTRACT}, where model is a torch.nn.Module")
    module, examples = returned[0].eval().requires_grad_(False).cpu(), returned[1]
    if isinstance(examples, Mapping):
        names, values = tuple(map(str, examples)), list(examples.values())
    elif isinstance(examples, tuple | list):
        names, values = _parameters(module, len(examples)), list(examples)
    else:
        raise SourceError(f"{label}: the examples are {_described(examples)}; they must be a tuple or dict of tensors")
    if not values:
        raise SourceError(f"{label}: there is no example; one tensor for each input of the model is needed")
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.numel() == 0:
            raise SourceError(
                f"{label}: the example for {name} is {_described(value)}; it must be a tensor with at least one row, "
                "whose first axis is the row"
            )
    arrays = {name: array_of(name, value) for name, value in zip(names, values, strict=True)}
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise SourceError(f"{label}: the examples differ in their number of rows: {counts}")
    if moving is None:
        moving = returned[2] if len(returned) == 3 else {}
    running = RunningModule(module, names, isinstance(examples, Mapping))
    return ModuleSource(label, running, arrays, checked_axes(label, moving, arrays), target).checked()


def checked_axes(label: str, axes: Any, examples: Tensors) -> Axes:
    """Axes that fit the examples of the inputs. Raises SourceError, which says which do not."""
    if not isinstance(axes, Mapping) or not all(isinstance(named, Mapping) for named in axes.values()):
        raise SourceError(f'{label}: axes are {_described(axes)}; they look like {{"image": {{2: "height"}}}}')
    lengths: dict[str, int] = {}
    for tensor, named in axes.items():
        if tensor not in examples:
            raise SourceError(f"{label}: axes name {tensor!r}, but the inputs are {', '.join(examples)}")
        for axis, name in named.items():
            last = examples[tensor].ndim - 1
            if not isinstance(axis, int) or not 1 <= axis <= last:
                raise SourceError(f"{label}: {tensor} has no axis {axis!r} that can move; it has 1 to {last}")
            length = examples[tensor].shape[axis]
            if lengths.setdefault(str(name), length) != length:
                raise SourceError(
                    f"{label}: axis {name} is {lengths[name]} long in one example and {length} in another"
                )
    return {tensor: {axis: str(name) for axis, name in named.items()} for tensor, named in axes.items() if named}


def _parameters(module: torch.nn.Module, count: int) -> tuple[str, ...]:
    """The names of the first `count` positional parameters of `forward`."""
    names: list[str] = []
    for parameter in inspect.signature(module.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{index}" for index in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    if len(names) < count:
        raise SourceError(f"there are {count} examples, but forward takes {len(names)} inputs: {', '.join(names)}")
    return tuple(names[:count])


def _imported(place: str) -> ModuleType:
    try:
        return _run_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{place} cannot be imported: {_said(error)}", traceback.format_exc()) from error


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    # A name of its own, so that a file called torch.py does not take the place of PyTorch.
    spec = importlib.util.spec_from_file_location(f"rayton_source_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _in_reach(folder: Path) -> Iterator[None]:
    """Lets code import its neighbours, as `python file.py` and `python -m module` do."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _said(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(one).__name__ for one in value) or 'nothing'}"
    return f"a {type(value).__name__}"
