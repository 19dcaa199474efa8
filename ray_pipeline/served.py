"""What a running server has: which versions of a model, from which repository, and what is unsafe about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from ray_pipeline.errors import FatalError, RestrictedError
from ray_pipeline.retry import waited_for
from ray_pipeline.transport.grpc import GrpcTransport
from triton_models.config.cautions import shared_lane_cautions, sharing_cautions
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.options import is_loopback
from triton_models.server.register import repository_served_on
from triton_models.server.releases import security_cautions


def repository_behind(url: str, home: Path) -> str | None:
    """The repository that the server at `url` loads, if it is a `rayton serve` of this machine with this home."""
    port = urlsplit(f"//{url}").port or 8001
    return repository_served_on(home, port) if is_on_loopback(url) else None


def is_on_loopback(url: str) -> bool:
    """Whether HOST:PORT is this machine's own, seen from itself."""
    return is_loopback(urlsplit(f"//{url}").hostname or "")


def served_versions(
    url: str, wanted: Sequence[tuple[str, int | None]], timeout_s: float, credentials: Credentials = NONE
) -> list[int]:
    """The version of each model: the one that is wanted, or the newest that the server has ready.

    Raises FatalError if the server is not there, or does not have one of them.
    """
    with closing(GrpcTransport(url, credentials)) as transport:
        waited_for(lambda: transport.check_ready(timeout_s), timeout_s)
        return [_served_version(transport, name, version, timeout_s) for name, version in wanted]


def sharing_cautions_of(
    url: str, versions: Mapping[str, int], timeout_s: float, credentials: Credentials = NONE
) -> list[str]:
    """What in the live configs makes these versions unsafe to share with online users, and what to change.

    Raises FatalError if the server is not there, or does not have one of them.
    """
    with closing(GrpcTransport(url, credentials)) as transport:
        waited_for(lambda: transport.check_ready(timeout_s), timeout_s)
        configs = {name: transport.config(name, version, timeout_s) for name, version in versions.items()}
    return [
        f"{name}: {caution}"
        for name, config in configs.items()
        for caution in (*sharing_cautions(config), *shared_lane_cautions(config))
    ]


def security_cautions_of(url: str, timeout_s: float, credentials: Credentials = NONE) -> list[str]:
    """What is known against the release of a server that other machines reach. Raises FatalError if it is not there."""
    with closing(GrpcTransport(url, credentials)) as transport:
        waited_for(lambda: transport.check_ready(timeout_s), timeout_s)
        return [f"{url}: {caution}" for caution in security_cautions(transport.release(timeout_s))]


def _models_at(transport: GrpcTransport, timeout_s: float) -> list[str] | None:
    """The names of the models that a server has ready; None: it tells them only to those with its key."""
    try:
        return transport.models(timeout_s)
    except RestrictedError:
        return None


def _served_version(transport: GrpcTransport, name: str, wanted: int | None, timeout_s: float) -> int:
    there = _models_at(transport, timeout_s)
    if there is not None and name not in there:
        raise FatalError(
            f"server {transport.address} has no model {name!r} ready; it has {', '.join(there) or 'none'}. "
            "Publish it with `rayton export`, then start the server again or load it"
        )
    versions = transport.versions(name, timeout_s)
    if wanted is not None and wanted not in versions:
        raise FatalError(
            f"server {transport.address} has version {', '.join(map(str, versions))} of {name!r} ready, not {wanted}; "
            "let its version_policy load that one, or score with another version into a new folder"
        )
    return wanted or versions[-1]
