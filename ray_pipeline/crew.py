"""Who scores for a job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ray_pipeline.models import JobModel
from triton_models.storage import Storage


@dataclass(frozen=True)
class Crew:
    """The models of a job, out of their repository, on the nodes of a Ray cluster that have, or get, a server."""

    repository: Storage
    models: tuple[JobModel, ...]
    nodes: tuple[str, ...]

    @cached_property
    def versions(self) -> dict[str, int]:
        """The version of each model by its name."""
        return {model.name: model.version for model in self.models}
