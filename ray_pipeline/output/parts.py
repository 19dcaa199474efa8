"""The parts that are there. They, and nothing else, say what is committed."""

from __future__ import annotations

from collections.abc import Iterable

from ray_pipeline.output import lock
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.part import DATA, REJECTED, REJECTED_SINK
from triton_models.disk import is_temporary
from triton_models.storage import Storage

_PREFIX = "part-"


def committed(output: Storage, sink: Sink) -> dict[str, int]:
    """The ids of the chunks whose data part is there, and its size in bytes."""
    return _parts(output, DATA, sink.suffix)


def with_rejected(output: Storage) -> set[str]:
    """The ids of the chunks that have a rejected part."""
    return set(_parts(output, REJECTED, REJECTED_SINK.suffix))


def tidy(output: Storage, sink: Sink, plan: Plan) -> dict[str, int]:
    """Removes what killed runs left half-written, and parts of chunks that are not planned; gives what is committed."""
    if output.local is not None:
        for path in output.local.rglob(".*"):
            # Other runs write below the lock's folder while this one has the lock.
            if is_temporary(path.name) and path.parent.name != lock.FOLDER and path.is_file():
                path.unlink(missing_ok=True)
    return remove_unplanned(output, sink, plan)


def remove_unplanned(output: Storage, sink: Sink, plan: Plan) -> dict[str, int]:
    """Removes parts of chunks that are no longer planned: their objects changed, and have other chunks now.

    Gives the planned chunks that are committed, as `committed` does.
    """
    planned = {chunk.id for chunk in plan.chunks}
    there = committed(output, sink)
    _remove(output, DATA, sink.suffix, there.keys() - planned)
    _remove(output, REJECTED, REJECTED_SINK.suffix, with_rejected(output) - planned)
    return {chunk: size for chunk, size in there.items() if chunk in planned}


def remove_rejected(output: Storage, chunks: Iterable[str]) -> None:
    """Removes the rejected parts of these chunks."""
    _remove(output, REJECTED, REJECTED_SINK.suffix, chunks)


def _parts(output: Storage, folder: str, suffix: str) -> dict[str, int]:
    names = ((one.path, one.size) for one in output.at(folder).objects())
    return {
        name.removeprefix(_PREFIX).removesuffix(suffix): size
        for name, size in names
        if name.startswith(_PREFIX) and name.endswith(suffix)
    }


def _remove(output: Storage, folder: str, suffix: str, chunks: Iterable[str]) -> None:
    output.delete(*(f"{folder}/{_PREFIX}{chunk}{suffix}" for chunk in sorted(chunks)))
