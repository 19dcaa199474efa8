"""The files of a server with TLS, checked before it starts: by a handshake with itself, within this process."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from triton_models.server.control_key import open_to_others
from triton_models.server.credentials import Credentials
from triton_models.server.errors import CredentialsError

SOON_S = 14 * 86_400.0
"""A certificate that expires sooner is worth a word."""


@dataclass(frozen=True)
class ServerTls:
    """The certificate of a server with its key, and with `ca` the CA that has to have signed those of its clients.

    Whoever starts a server is a client of it too. With `ca` it shows `client_cert`, or the server's own where there is
    none.
    """

    cert: Path
    key: Path
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    def __post_init__(self) -> None:
        if (self.client_cert is None) != (self.client_key is None):
            raise CredentialsError("the certificate that a client shows and its key belong together; give both")
        if self.client_cert is not None and self.ca is None:
            raise CredentialsError("a server without a CA for its clients asks for no certificate; leave that out")


def own_credentials(tls: ServerTls) -> Credentials:
    """What the process that starts this server shows to it. Raises CredentialsError for files that no server can use.

    It trusts the server's certificate itself, for a name that is in it, whoever has signed it.
    """
    found = _shown(tls)
    own = Credentials(ca=tls.cert, server_name=_name_in(found, tls.cert))
    if tls.ca is None:
        return own
    own = replace(own, cert=tls.client_cert or tls.cert, key=tls.client_key or tls.key)
    _check_own_client(tls, own)
    return own


def tls_cautions(tls: ServerTls) -> list[str]:
    """What is to be said of files that a server can use all the same."""
    cautions = open_to_others(tls.key, tls.client_key)
    left_s = ssl.cert_time_to_seconds(str(_shown(tls)["notAfter"])) - time.time()
    if left_s < SOON_S:
        cautions.append(
            f"the certificate {tls.cert} expires in {left_s / 86_400:.1f} days; put a new one in its place and start "
            "the server again: Triton reads it at the start only"
        )
    return cautions


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """How Python's own TLS checks a server as gRPC does. Raises CredentialsError for files that are of no use."""
    assert credentials.ca is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, credentials.ca)
    if credentials.cert is not None and credentials.key is not None:
        _present(context, credentials.cert, credentials.key)
    return context


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """A server with these files, as far as the handshake goes. Raises CredentialsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _present(context, tls.cert, tls.key)
    if tls.ca is not None:
        _trust(context, tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """A handshake in memory; gives the client's end. Raises ssl.SSLError from the side that refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    done: set[ssl.SSLObject] = set()
    while len(done) < len(ends):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
    return ends[0]


def _shown(tls: ServerTls) -> dict[str, object]:
    """What a client sees of the server's certificate, which must be one that can be used today."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    _trust(client, tls.cert)
    try:
        found = shake_hands(server_context(replace(tls, ca=None, client_cert=None, client_key=None)), client)
    except ssl.SSLCertVerificationError as error:
        raise CredentialsError(f"no client can accept the certificate {tls.cert}: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise CredentialsError(f"a server cannot use the certificate {tls.cert}: {_said(error)}") from error
    seen = found.getpeercert()
    assert seen is not None
    return dict(seen)


def _check_own_client(tls: ServerTls, own: Credentials) -> None:
    client = client_context(own)
    client.check_hostname = False
    try:
        shake_hands(server_context(tls), client)
    except ssl.SSLError as error:
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else _said(error)
        whose = "that was given for it" if tls.client_cert else "of the server itself"
        raise CredentialsError(
            f"a server that trusts {tls.ca} would not let in whoever starts it: {why}. It shows the certificate "
            f"{own.cert} {whose}; name one that is made for clients and signed by that CA, with its key, by "
            "--tls-client-cert and --tls-client-key"
        ) from error


def _name_in(certificate: dict[str, object], path: Path) -> str:
    """A name that the certificate is made for."""
    for name in _names(certificate.get("subjectAltName", ())):
        return name.replace("*", "any")
    raise CredentialsError(
        f"the certificate {path} names no host, so no client can tell whose it is; have one made with the hosts of "
        "this server in its subjectAltName"
    )


def _names(alternatives: object) -> Iterator[str]:
    assert isinstance(alternatives, tuple)
    yield from (value for kind, value in alternatives if kind in ("DNS", "IP Address"))


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(ca.expanduser())
    except ssl.SSLError as error:
        raise CredentialsError(f"{ca} holds no certificates in PEM: {_said(error)}") from error
    except OSError as error:
        raise CredentialsError(f"the certificates {ca} cannot be read: {error.strerror}") from error
    # As gRPC does: whoever is trusted need not be at the root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _present(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path in (cert, key):  # the error of the next step does not say which of them it is about
        try:
            path.expanduser().open("rb").close()
        except OSError as error:
            raise CredentialsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        context.load_cert_chain(cert.expanduser(), key.expanduser(), password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CredentialsError(f"{key} is not the key of the certificate {cert}; give the pair") from error
        raise CredentialsError(
            f"{cert} and {key} are no certificate and key in PEM without a passphrase: {_said(error)}"
        ) from error


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
