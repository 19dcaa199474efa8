"""What an operator has said of a running job, from anywhere: a small object in its output folder."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from ray_pipeline.errors import OutputError
from ray_pipeline.output.claim import JOB_FILE
from ray_pipeline.output.explained import explained
from triton_models.storage import Storage, open_storage
from triton_models.typed_json import Within, loads, reader_of

STEERING_FILE = "_steering.json"


@dataclass(frozen=True)
class Steering:
    """Whether the job is paused, and how many of its batches may be in flight at each node (None: no limit by hand)."""

    paused: bool = False
    most_in_flight: Annotated[int, Within(0, math.inf)] | None = None

    def told(self, uri: str) -> list[str]:
        """What holds by hand for the job of an output folder, and what takes it back; nothing if nothing does."""
        lines = [f"by hand paused; `rayton resume {uri}` lets it go on"] if self.paused else []
        if self.most_in_flight is not None:
            most = f"at most {self.most_in_flight} in flight at each node"
            lines.append(f"by hand {most}; `rayton limit {uri}` takes that back")
        return lines


_READ = reader_of(Steering)


def read_steering(output: Storage) -> Steering:
    """What was said last; nothing at first. Raises OutputError if it cannot be understood."""
    try:
        with explained(output, STEERING_FILE, "is not readable", "delete it"):
            return _READ(loads(output.read(STEERING_FILE)))
    except FileNotFoundError:
        return Steering()


def steer(uri: str, endpoint_url: str | None, **changes: Any) -> None:
    """Changes what is said of the job of an output folder; its actors look every few seconds.

    Raises OutputError if the folder is not that of a job.
    """
    output = open_storage(uri, endpoint_url)
    if output.stat(JOB_FILE) is None:
        raise OutputError(f"{output.uri} is not the output of a job: it has no {JOB_FILE}")
    steering = replace(read_steering(output), **changes)
    output.write(STEERING_FILE, (json.dumps(asdict(steering)) + "\n").encode())
