"""Whether a server, seen from outside, serves all of its models."""

from __future__ import annotations

from collections.abc import Sequence

from triton_models.doctor.errors import explained
from triton_models.server import health
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.errors import BrokenModelError
from triton_models.server.health import LoadedModel
from triton_models.server.live import handshake_explained, open_client


def current_models(
    address: str, timeout_s: float, *, probe: bool = True, credentials: Credentials = NONE
) -> list[LoadedModel]:
    """What clients of the server get whose gRPC is at `address`: the version of each model, asked for one inference.

    A version that could not be loaded does no harm while another one of its model answers, though Triton then calls the
    whole server not ready. `timeout_s` is for each question; `probe` false leaves out the inferences. Raises
    UnreachableError, BrokenModelError for a model that has no ready version or does not answer, or another ServerError.
    """
    with open_client(address, credentials) as client, explained(address):
        with handshake_explained(address, credentials):
            client.is_server_live(client_timeout=timeout_s)
        current = current_of_each(health.loaded_models(client))
        if probe:
            for model in current:
                health.probe(client, model, timeout_s)
    return current


def current_of_each(loaded: Sequence[LoadedModel]) -> list[LoadedModel]:
    """The version of each model that answers clients. Raises BrokenModelError for a model that has none."""
    current = health.current_models(loaded)
    ready = {model.name for model in current}
    for model in loaded:
        if model.name not in ready:
            said = model.reason or "it is being loaded"
            raise BrokenModelError(f"no version of {model.name} is ready: {said}; the server's log says more")
    return current
