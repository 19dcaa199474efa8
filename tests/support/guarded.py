"""A server that lets in only clients with a certificate, and closes control calls to those without its key."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.certificates import CLIENT, SERVER, Authority, Pair
from tests.support.numbered import publish_number
from tests.support.serving import Serving, serving
from triton_models.server.credentials import Credentials
from triton_models.storage import Storage, open_storage

NOT_AS_LOOPBACK = "LOCALHOST"
"""This machine's own address in a spelling that is taken for that of another one: so it is served as to others."""


@dataclass(frozen=True)
class Place:
    """A running server, and all that its clients may have. `good` is what a client needs; `guards` are the options of
    `rayton serve` that make it so.
    """

    served: Serving
    url: str
    home: Path
    repository: Storage
    authority: Authority
    foreign: Authority
    good: Credentials
    guards: tuple[str, ...]

    @property
    def keyless(self) -> Credentials:
        return replace(self.good, control_key_file=None)

    def shows(self, pair: Pair) -> Credentials:
        return replace(self.good, cert=pair.cert, key=pair.key)


@contextmanager
def guarded(home: Path, folder: Path) -> Iterator[Place]:
    """`rayton serve` of a copy with mutual TLS, at an address that it takes for one that others reach."""
    own_home = folder / "home"
    own_home.mkdir()
    (own_home / "runtimes").symlink_to(home / "runtimes")
    authority, foreign = Authority(folder / "pki", "ours"), Authority(folder / "pki", "foreign")
    server = authority.pair("server", "triton.example", "127.0.0.1", usages=(SERVER,), days=30)
    operator, client = (authority.pair(name, usages=(CLIENT,)) for name in ("operator", "client"))
    repository = open_storage(str(folder / "models"))
    publish_number(repository, 10)
    options = {
        "--address": NOT_AS_LOOPBACK,
        "--metrics-address": "127.0.0.1",
        "--refresh-s": "0.2",
        "--tls-cert": server.cert,
        "--tls-key": server.key,
        "--tls-ca": authority.ca,
        "--tls-client-cert": operator.cert,
        "--tls-client-key": operator.key,
    }
    guards = ("--allow-remote", *(str(word) for option in options.items() for word in option))
    with serving(own_home, folder / "models", "--cache", str(folder / "copy"), *guards) as served:
        good = Credentials(authority.ca, client.cert, client.key, None, own_home / "servers" / "control.key")
        yield Place(served, url_of(served), own_home, repository, authority, foreign, good, guards)
        _end(served)


@contextmanager
def guarded_lane(place: Place, cache: Path, *more: str) -> Iterator[Serving]:
    """`rayton serve --bulk-lane` beside that server, of a copy in `cache`, guarded as it is."""
    lane = ("--bulk-lane", "--beside", place.url, "--cache", str(cache))
    with serving(place.home, place.repository.uri, *lane, *place.guards, *more) as served:
        yield served
        _end(served)


def url_of(served: Serving) -> str:
    """Where its clients reach a server, under a name that is in its certificate."""
    return f"127.0.0.1:{served.report['gRPC'].rpartition(':')[2]}"


def _end(served: Serving) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0


def shown(credentials: Credentials) -> list[str]:
    """Credentials as options of a command."""
    options = {
        "--tls-ca": credentials.ca,
        "--tls-cert": credentials.cert,
        "--tls-key": credentials.key,
        "--control-key-file": credentials.control_key_file,
    }
    return [str(word) for option in options.items() if option[1] is not None for word in option]


def in_job_file(credentials: Credentials) -> dict[str, object]:
    """Credentials as keys below [triton]."""
    keys = {"tls.ca": credentials.ca, "tls.cert": credentials.cert, "tls.key": credentials.key}
    keys["control_key_file"] = credentials.control_key_file
    return {key: str(value) for key, value in keys.items() if value is not None}
