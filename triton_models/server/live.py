"""A new version gets into servers that run, without one failed request.

Servers are asked one after another. Triton loads a new version beside the old one, and lets go of the old one when the
new one is ready; where it cannot be loaded, that server goes on with the old one, and those behind it are not asked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from triton_models.errors import ServerError
from triton_models.server import channel, handshake, health
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.errors import BrokenModelError, LoadRefusedError, UnreachableError, VersionMissingError

Say = Callable[[str], None]

REACH_S = 10.0
"""How long a server may take to say that it is there."""
_PAUSES_S = (0.1, 0.2, 0.5, 1.0)
_ADDRESS = re.compile(r"[^/\s]+:\d+")


def check_there(addresses: Sequence[str], name: str, credentials: Credentials = NONE) -> None:
    """Asked before a version is published. Raises UnreachableError for the first address where no server answers, or
    LoadRefusedError if it lets only others load models.
    """
    for address in addresses:
        try:
            with open_client(address, credentials) as client:
                _ask_life(client, address, name, credentials)
                with _explained(address, name, REACH_S):
                    health.loaded_models(client)  # who may not ask that may not load either
        except (UnreachableError, LoadRefusedError) as error:
            raise type(error)(f"{error} (nothing was published)") from error


def load_everywhere(
    addresses: Sequence[str],
    name: str,
    version: int,
    timeout_s: float = 120.0,
    say: Say = lambda line: None,
    credentials: Credentials = NONE,
) -> None:
    """Returns when every server has loaded this version of a model and has answered one inference from it.

    `addresses` are those of the servers' gRPC, as in `node:8001`; all get to see the same `credentials`, and each has
    `timeout_s`. All are asked whether they are there before the first one loads anything. A server that does not see
    the version yet, because it follows a bucket by itself, is waited for. Raises UnreachableError, LoadRefusedError,
    BrokenModelError or VersionMissingError; each says which server, what it said, what to do now, and which servers
    have the version already.
    """
    loaded: list[str] = []
    with ExitStack() as stack:
        clients = {address: stack.enter_context(open_client(address, credentials)) for address in addresses}
        for address, client in clients.items():
            _ask_life(client, address, name, credentials)
        for address, client in clients.items():
            say(f"loading version {version} of {name} into {address}")
            try:
                _load_or_wait(client, address, name, version, timeout_s, say)
            except ServerError as error:
                have = f"; {', '.join(loaded)} had loaded it before" if loaded else ""
                not_asked = list(clients)[len(loaded) + 1 :]
                left = f"; {', '.join(not_asked)} was not asked any more" if not_asked else ""
                raise type(error)(f"{error}{have}{left}") from error
            loaded.append(address)


def load_versions(
    address: str,
    name: str,
    versions: Sequence[int],
    timeout_s: float,
    *,
    probe: bool = True,
    credentials: Credentials = NONE,
) -> None:
    """Makes one server load a model, and returns when these versions are ready and the newest has answered.

    `probe` false leaves out the answer. Raises like `load_everywhere`; VersionMissingError without waiting.
    """
    with open_client(address, credentials) as client, _explained(address, name, timeout_s):
        client.load_model(name, client_timeout=timeout_s)
        ready = _ready(client, name)
        for version in versions:
            if str(version) not in ready:
                raise _missing(address, name, version, ready)
        if probe:
            _probe(client, address, name, versions[-1])


def _ask_life(client: InferenceServerClient, address: str, name: str, credentials: Credentials) -> None:
    with _explained(address, name, REACH_S), handshake_explained(address, credentials):
        client.is_server_live(client_timeout=REACH_S)


def _load_or_wait(
    client: InferenceServerClient, address: str, name: str, version: int, timeout_s: float, say: Say
) -> None:
    deadline = time.monotonic() + timeout_s
    with _explained(address, name, timeout_s):
        try:
            with _explained(address, name, timeout_s):
                client.load_model(name, client_timeout=timeout_s)
        except VersionMissingError:
            pass  # it has no such model so far
        if str(version) not in _ready(client, name):
            _await(client, address, name, version, deadline, say)
        _probe(client, address, name, version)


def _await(client: InferenceServerClient, address: str, name: str, version: int, deadline: float, say: Say) -> None:
    """Waits for a server that copies the repository by itself. Raises VersionMissingError."""
    pauses = iter(_PAUSES_S)
    said = False
    while str(version) not in (ready := _ready(client, name)):
        if reason := _failure(client, name, version):
            raise BrokenModelError(_broken(address, name, reason))
        left_s = deadline - time.monotonic()
        if left_s < 0 or any(int(other) > version for other in ready):
            raise _missing(address, name, version, ready)
        if not said:
            say(f"{address} does not have version {version} yet; it has {left_s:.0f} s to fetch it from its bucket")
            said = True
        time.sleep(next(pauses, _PAUSES_S[-1]))


def _failure(client: InferenceServerClient, name: str, version: int) -> str:
    """Why a server that follows its bucket could not load a version; empty if it did not try, or has it."""
    wanted = (name, str(version))
    return next((one.reason for one in health.loaded_models(client) if (one.name, one.version) == wanted), "")


def _missing(address: str, name: str, version: int, ready: Sequence[str]) -> VersionMissingError:
    there = f"version {', '.join(ready)}" if ready else "no version"
    return VersionMissingError(
        f"{address} serves {there} of {name}, not {version}; give that server the repository in which {version} was "
        "published, or see what it says if it fetches its models from there by itself"
    )


def _ready(client: InferenceServerClient, name: str) -> list[str]:
    """The versions of a model that a server answers with."""
    return [model.version for model in health.loaded_models(client) if model.name == name and model.is_ready]


def _probe(client: InferenceServerClient, address: str, name: str, version: int) -> None:
    try:
        health.probe(client, health.LoadedModel(name, str(version), True, ""))
    except BrokenModelError as error:
        raise BrokenModelError(
            f"on {address} {error}. It is what clients get now: take the version before with `rayton models rollback`"
        ) from error


def open_client(address: str, credentials: Credentials = NONE) -> InferenceServerClient:
    """A client for the gRPC of a server, `address` being HOST:PORT. Raises UnreachableError for anything else.

    Raises CredentialsError for files that are of no use.
    """
    if "@" in address:
        raise UnreachableError("the address of a server holds credentials; give HOST:PORT alone, as in node:8001")
    if not _ADDRESS.fullmatch(address):
        raise UnreachableError(f"{address!r} is not the address of a server's gRPC; give HOST:PORT, as in node:8001")
    return channel.open_client(address, credentials)


@contextmanager
def handshake_explained(address: str, credentials: Credentials) -> Iterator[None]:
    """Of a first call that fails, says whether that was for want of the right credentials: UnreachableError then."""
    try:
        yield
    except InferenceServerException:
        if (trouble := handshake.trouble(address, credentials)) is not None:
            raise UnreachableError(trouble) from None
        raise


@contextmanager
def _explained(address: str, name: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        raise error_of(error, address, name, timeout_s) from error


def error_of(error: InferenceServerException, address: str, name: str, timeout_s: float) -> ServerError:
    """Our error for what a server said when it was asked to load a model."""
    said, status = error.message() or "nothing", error.status()
    if "protocol is restricted" in said:
        return LoadRefusedError(
            f"{address} loads models only for clients with its key ({said}); give the file with that key by "
            f"--control-key-file, or start the server again: then it loads {name}"
        )
    if "explicit model load / unload is not allowed" in said:
        return LoadRefusedError(
            f"{address} loads no models while it runs, because its model control is not explicit ({said}); start it "
            "again, best with --model-control-mode=explicit, as `rayton serve` does"
        )
    if "failed to poll from model repository" in said:
        return VersionMissingError(
            f"{address} cannot read {name} in its repository ({said}); its log says more. Give that server the "
            "repository in which the version was published"
        )
    if status == "StatusCode.DEADLINE_EXCEEDED":
        return UnreachableError(
            f"{address} did not answer in {timeout_s:g} s; if it is still loading {name}, ask it again later, and "
            "otherwise look at its log"
        )
    if "Request for unknown model" in said:
        return VersionMissingError(f"{address} has let go of a version of {name} that it had just loaded ({said})")
    if status == "StatusCode.UNAVAILABLE":
        return nobody_at(address, said)
    return BrokenModelError(_broken(address, name, said))


def nobody_at(address: str, said: str) -> UnreachableError:
    """Our error for an address where nothing is, or something that is no server's gRPC."""
    return UnreachableError(f"no server answers at {address} ({said}); is it running, and is this its gRPC port?")


def _broken(address: str, name: str, said: str) -> str:
    reason = health.readable_reason(said.rpartition("is at UNAVAILABLE state: ")[2])
    return (
        f"{address} cannot load {name}: {reason}; it goes on with the version that it had. Its log says more: correct "
        "the model and publish it again"
    )
