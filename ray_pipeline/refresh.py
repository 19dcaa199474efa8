"""The nightly run: what is new in the input gets chunks of its own, what was scored stays as it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import pyarrow as pa

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import InputError
from ray_pipeline.plan import Plan, plan_of
from ray_pipeline.sources.listing import list_input, only_format
from ray_pipeline.spec import JobSpec

_NAMED = 5


@dataclass(frozen=True)
class Refresh:
    """The plan as it is now, and the paths of the objects that are new, have changed, or have vanished since."""

    plan: Plan
    new: tuple[str, ...]
    changed: tuple[str, ...]
    vanished: tuple[str, ...]


def refreshed(spec: JobSpec, plan: Plan, committed: Collection[str], *, rescore_changed: bool) -> Refresh:
    """Compares a plan with the input. `committed` are the ids of the chunks that are scored.

    Chunks stay as they are, but for those with an object that changed and those that wait for one that vanished. Raises
    InputError for changed objects unless `rescore_changed`, and for new ones whose columns do not fit the plan.
    """
    storage, objects = list_input(spec.input.uri, spec.storage.endpoint_url, spec.storage.timeout_s)
    only_format(objects)
    if storage.uri != plan.folder:
        raise InputError(
            f"input.uri {spec.input.uri} is below {storage.uri}, the plan below {plan.folder}; use a new output"
        )
    there = {one.path: one.stamp for one in objects}
    planned = {piece.path: piece.stamp for chunk in plan.chunks for piece in chunk.pieces}
    changed = [path for path, stamp in planned.items() if there.get(path, stamp) != stamp]
    vanished = [path for path in planned if path not in there]
    if changed and not rescore_changed:
        raise InputError(
            f"{len(changed)} objects of {plan.folder} have changed since they were planned: {named(changed)}. "
            "`--rescore-changed` replaces their rows; otherwise put the old ones back, or score into a new folder"
        )

    def stays(chunk: Chunk) -> bool:
        paths = {piece.path for piece in chunk.pieces}
        return paths.isdisjoint(changed_set) and (chunk.id in committed or paths.isdisjoint(vanished_set))

    changed_set, vanished_set = set(changed), set(vanished)
    kept = [chunk for chunk in plan.chunks if stays(chunk)]
    covered = {piece.path for chunk in kept for piece in chunk.pieces}
    left = [one for one in objects if one.path not in covered]
    added: tuple[Chunk, ...] = ()
    if left:
        fresh = plan_of(spec, storage, left, plan)
        _check_types(plan.schema, fresh.schema)
        added = fresh.chunks
    size = sum(one.size for one in objects)
    new = tuple(one.path for one in left if one.path not in planned)
    return Refresh(replace(plan, chunks=(*kept, *added), size_bytes=size), new, tuple(changed), tuple(vanished))


def named(paths: Collection[str]) -> str:
    """The first few of many paths."""
    shown = ", ".join(sorted(paths)[:_NAMED])
    return shown if len(paths) <= _NAMED else f"{shown} and {len(paths) - _NAMED} more"


def _check_types(planned: pa.Schema, fresh: pa.Schema) -> None:
    """What is new must fit the types in which the parts that are there were written."""
    for field in planned:
        if fresh.field(field.name).type != field.type:
            raise InputError(
                f"column {field.name!r} of the new objects does not fit {field.type}, which it was when the job began "
                f"({fresh.field(field.name).type} would hold both); score them into a new folder"
            )
