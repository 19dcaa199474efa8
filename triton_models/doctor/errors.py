"""What can come out of an examination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonclient.utils import InferenceServerException

from triton_models.errors import ServerError
from triton_models.server.errors import UnreachableError
from triton_models.server.live import nobody_at


class ModelMissingError(ServerError):
    """A running server does not have the model that was to be examined, or none at all."""


class UnsafeToShareError(ServerError):
    """A model was examined, and bulk beside its online users would harm them, or they are harmed already."""


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turns what the server at an address says or does not say in the block into a ServerError of ours."""
    try:
        yield
    except InferenceServerException as error:
        said, status = error.message() or "nothing", error.status()
        if "protocol is restricted" in said:
            raise ServerError(
                f"{address} tells what it has loaded only to clients with its key ({said}); give the file with that "
                "key by --control-key-file"
            ) from error
        if status == "StatusCode.UNAVAILABLE":
            raise nobody_at(address, said) from error
        if status == "StatusCode.DEADLINE_EXCEEDED":
            raise UnreachableError(f"{address} did not answer in time ({said}); look at its log") from error
        raise ServerError(f"{address} does not let itself be examined ({said})") from error
