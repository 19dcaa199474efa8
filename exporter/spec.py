"""What is wanted of an export."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.errors import ExportError
from triton_models.repository.layout import checked_name

DEFAULT_MAX_BATCH_SIZE = 64


@dataclass(frozen=True)
class ExportSpec:
    """One export: which source becomes which model of which repository.

    `repository` is a folder or the URI of one in an object store. `max_tokens` cuts texts shorter than the model would.
    `tolerance` is the largest difference from the source that is let pass, for answers between 0.01 and 1 in size;
    beyond, it grows and shrinks with the largest answer. None takes the one that fits the type of each output.
    Raises RepositoryError for a name that no model can have, ExportError for a number that makes no sense.
    """

    source: str
    name: str
    repository: str
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    instances: int = 1
    max_tokens: int | None = None
    tolerance: float | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        checked_name(self.name)
        for option, number in (
            ("--max-batch-size", self.max_batch_size),
            ("--instances", self.instances),
            ("--max-tokens", self.max_tokens),
        ):
            if number is not None and number < 1:
                raise ExportError(f"{option} is {number}; it must be 1 or more")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ExportError(f"--tolerance is {self.tolerance:g}; it must lie between 0 and 1, such as 1e-4")
