"""Why a server cannot be talked to, found out by a handshake; the servers here only shake hands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.certificates import CLIENT, Authority, Pair
from triton_models.server.certificates import ServerTls, server_context
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.handshake import trouble

GREETING = b"\x00\x00\x18\x04\x00\x00\x00\x00\x00"  # how gRPC begins: a frame with its settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ca")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.pair("server", "localhost", "127.0.0.1")


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that answers each of its clients and lets go of it."""

    def serve() -> None:
        with suppress(OSError):  # the end
            while True:
                connection, _ = door.accept()
                with connection, suppress(OSError):
                    connection.settimeout(10)
                    answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


def encrypted(tls: ServerTls) -> Callable[[socket.socket], None]:
    context = server_context(tls)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(GREETING)
            secured.recv(1)

    return answer


def plain(connection: socket.socket) -> None:
    connection.sendall(GREETING)
    connection.recv(1000)


def test_nothing_is_said_of_a_server_that_lets_the_client_in(authority: Authority, pair: Pair) -> None:
    with listening(encrypted(ServerTls(pair.cert, pair.key))) as address:
        assert trouble(address, Credentials(ca=authority.ca)) is None
    mutual = ServerTls(pair.cert, pair.key, authority.ca)
    with listening(encrypted(mutual)) as address:
        assert trouble(address, Credentials(ca=authority.ca, cert=pair.cert, key=pair.key)) is None
    with listening(plain) as address:
        assert trouble(address, NONE) is None


def test_nor_of_one_that_is_away_or_just_leaves(authority: Authority, free_port: int) -> None:
    for credentials in (NONE, Credentials(ca=authority.ca)):
        assert trouble(f"127.0.0.1:{free_port}", credentials) is None
        with listening(lambda _: None) as address:
            assert trouble(address, credentials) is None


def test_a_client_without_tls_is_told_to_use_it(authority: Authority, pair: Pair) -> None:
    for tls in (ServerTls(pair.cert, pair.key), ServerTls(pair.cert, pair.key, authority.ca)):
        with listening(encrypted(tls)) as address:
            said = trouble(address, NONE) or ""
        assert said.startswith(f"the server {address} wants TLS, and this client was not told to use it")
        assert "ca under [triton.tls] of a job file, or --tls-ca" in said


def test_a_server_without_tls_is_not_talked_to_by_a_client_that_wants_it(authority: Authority) -> None:
    with listening(plain) as address:
        said = trouble(address, Credentials(ca=authority.ca)) or ""
    assert said.startswith(f"the server {address} answers without TLS, and this client was told to use it")


def test_a_foreign_authority_is_named(pair: Pair, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "foreign")
    with listening(encrypted(ServerTls(pair.cert, pair.key))) as address:
        said = trouble(address, Credentials(ca=foreign.ca)) or ""
    assert said == (
        f"the certificate of the server {address} is not accepted: unable to get local issuer certificate; "
        f"{foreign.ca} has to hold the CA that has signed it"
    )


def test_an_expired_certificate_is_called_so(authority: Authority) -> None:
    expired = authority.pair("expired", "127.0.0.1", days=-1)
    with listening(encrypted(ServerTls(expired.cert, expired.key))) as address:
        said = trouble(address, Credentials(ca=authority.ca)) or ""
    assert f"the certificate of the server {address} is not accepted: certificate has expired; give that" in said


def test_another_name_is_called_so_and_can_be_given(authority: Authority) -> None:
    other = authority.pair("other", "triton.example")
    with listening(encrypted(ServerTls(other.cert, other.key))) as address:
        said = trouble(address, Credentials(ca=authority.ca)) or ""
        assert "IP address mismatch, certificate is not valid for '127.0.0.1'; if" in said
        assert "server_name under [triton.tls] of a job file, or --tls-server-name" in said
        assert trouble(address, Credentials(ca=authority.ca, server_name="triton.example")) is None


def test_a_client_without_a_certificate_is_told_to_show_one(authority: Authority, pair: Pair) -> None:
    with listening(encrypted(ServerTls(pair.cert, pair.key, authority.ca))) as address:
        said = trouble(address, Credentials(ca=authority.ca)) or ""
    assert said.startswith(f"the server {address} lets in only clients with a certificate")
    assert "cert and key under [triton.tls] of a job file, or --tls-cert and --tls-key" in said


def test_a_client_whose_certificate_the_server_does_not_take_is_told_which(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path, "foreign").pair("foreign", usages=(CLIENT,))
    expired = authority.pair("expired-client", usages=(CLIENT,), days=-1)
    with listening(encrypted(ServerTls(pair.cert, pair.key, authority.ca))) as address:
        for shown in (foreign, expired):
            said = trouble(address, Credentials(ca=authority.ca, cert=shown.cert, key=shown.key)) or ""
            assert said.startswith(f"the server {address} does not accept this client's certificate {shown.cert}")
            assert "signed by the CA that this server trusts" in said
