"""A file of an output folder that is not what a run wrote there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray_pipeline.errors import OutputError
from triton_models.storage import Storage


@contextmanager
def explained(output: Storage, path: str, what: str, advice: str) -> Iterator[None]:
    """Raises OutputError, with `what` it is and what to do, where the block cannot understand a file (ValueError)."""
    try:
        yield
    except ValueError as error:
        raise OutputError(f"{output.uri}/{path} {what} ({error}); {advice}") from error
