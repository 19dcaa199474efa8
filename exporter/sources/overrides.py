"""What the command line says about the tensors of a model: which axes move, other names, which outputs to keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.errors import ExportError
from exporter.samples import Axes
from exporter.sources.base import Source
from exporter.sources.renamed import RenamedSource

DYNAMIC_FORM = "it is INPUT=AXIS:NAME,..., as in image=2:height,3:width; axis 0 is the row and always moves"


def parse_dynamic(values: Sequence[str]) -> Axes:
    """What `--dynamic` says, as in `image=0:batch,2:height,3:width`: the moving axes by input.

    Axis 0 may be named, and is left out: it is the row. Raises ExportError, which tells the form.
    """
    found: dict[str, dict[int, str]] = {}
    for value in values:
        tensor, equals, listed = value.partition("=")
        axes = found.setdefault(tensor, {})
        rows: set[str] = set()
        for part in listed.split(","):
            axis, colon, name = (text.strip() for text in part.partition(":"))
            if not (tensor and equals and colon and name and axis.isascii() and axis.isdigit()):
                raise ExportError(f"--dynamic is {value}; {DYNAMIC_FORM}")
            if axes.get(int(axis), name) != name:
                raise ExportError(f"--dynamic names axis {axis} of {tensor} twice: {axes[int(axis)]} and {name}")
            if int(axis) == 0:
                rows.add(name)
            else:
                axes[int(axis)] = name
        if rows & set(axes.values()):
            raise ExportError(f"--dynamic is {value}; the row and another axis cannot have one name")
    return found


def overridden(
    source: Source, input_names: Sequence[str], output_names: Sequence[str], outputs: Sequence[str]
) -> Source:
    """The source with other names, as `OLD=NEW` says, and with these outputs only, by their new names; all if empty.

    What is cut out leaves the graph, with all that it alone needs. Raises ExportError, which tells the names that are
    there.
    """
    if not (input_names or output_names or outputs):
        return source
    takes = _renamed("--input-name", input_names, [spec.name for spec in source.inputs])
    gives = _renamed("--output-name", output_names, [spec.name for spec in source.outputs])
    shared = set(takes.values()) & set(gives.values())
    if shared:
        raise ExportError(f"{shared.pop()} would be an input and an output; a graph has one name for one tensor")
    unknown = [name for name in outputs if name not in gives.values()]
    if unknown:
        raise ExportError(f"--outputs has {unknown[0]}; the outputs are {_listed(gives.values())}")
    kept = {old: new for old, new in gives.items() if not outputs or new in outputs}
    return RenamedSource(source, takes, kept)


def _renamed(option: str, values: Sequence[str], there: Sequence[str]) -> dict[str, str]:
    """Every name that is there -> what it is called from now on."""
    names = {name: name for name in there}
    for value in values:
        # Names may hold an equals sign; the old one is known.
        old = next((name for name in there if value.startswith(f"{name}=")), None)
        if old is None or len(value) == len(old) + 1:
            raise ExportError(f"{option} is {value}; it is OLD=NEW, and OLD is one of {_listed(there)}")
        names[old] = value[len(old) + 1 :]
    new = list(names.values())
    twice = next((name for name in new if new.count(name) > 1), None)
    if twice is not None:
        raise ExportError(f"{option} calls two tensors {twice}")
    return names


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
