"""Which lane a job takes that leaves it open. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

LaneName = Literal["own", "shared"]

SERVER_BYTES = 400 * 2**20
"""What a server needs besides its models."""

COPIES = 2
"""A loaded model takes the bytes of its files about so many times, with what it computes in."""


@dataclass(frozen=True)
class LaneChoice:
    """A lane, and why it is taken: words that go on after its name."""

    lane: LaneName
    why: str


def named_lane(lane: LaneName | Literal["auto"], bulk_url: str | None) -> LaneChoice | None:
    """The lane that a job file names, by itself or by a server for bulk at `bulk_url`; None: it leaves that open."""
    if lane != "auto":
        return LaneChoice(lane, "as the job file says")
    return None if bulk_url is None else LaneChoice("own", "bulk_url under [sharing] names a server for bulk")


def choose_lane(
    online: str | None, on_gpus: Sequence[str], model_bytes: int, free_bytes: Mapping[str, int]
) -> LaneChoice:
    """A lane of its own if each node has the memory for another server, and the one of the users otherwise.

    `online` is the address of the users' server, `on_gpus` the models that run on GPUs, where the operating system does
    not let bulk step back; `model_bytes` is the size of the models' files, `free_bytes` what each node has free.
    """
    if online is None:
        return LaneChoice("own", "no url under [triton] names a server to share")
    if on_gpus:
        return LaneChoice("shared", f"{on_gpus[0]} runs on GPUs, where a second server would not step back")
    needed = SERVER_BYTES + COPIES * model_bytes
    node, free = min(free_bytes.items(), key=lambda item: item[1])
    if free < needed:
        return LaneChoice("shared", f"a second server needs {_gb(needed)} of memory, node {node} has {_gb(free)} free")
    nodes = "the node has" if len(free_bytes) == 1 else f"each of the {len(free_bytes)} nodes has"
    return LaneChoice("own", f"{nodes} the {_gb(needed)} of memory that a second server needs")


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
