"""What a worker says to a person, without what Ray says about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayTaskError

from triton_models.errors import RaytonError


@contextmanager
def worker_errors_unwrapped() -> Iterator[None]:
    """An error that a worker raised for a person arrives inside Ray's errors; it is what the person shall see."""
    try:
        yield
    except Exception as error:
        ours = _outermost_of_ours(error)
        if ours is None or ours is error:
            raise
        raise ours from error


def _outermost_of_ours(error: BaseException) -> RaytonError | None:
    """The first RaytonError on the way down the causes of `error` that is not one of Ray's wrappers."""
    seen: BaseException | None = error
    while seen is not None:
        # Ray's wrapper of an error is an instance of that error's class too.
        if isinstance(seen, RaytonError) and not isinstance(seen, RayTaskError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return None
