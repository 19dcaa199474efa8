"""Why a server cannot be talked to though something listens: gRPC says of all causes that the server is not there."""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

from triton_models.server.certificates import client_context
from triton_models.server.credentials import Credentials

REACH_S = 5.0
_AGAIN_S = 0.2
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL says of bytes that are none of TLS, by its versions."""


def trouble(address: str, credentials: Credentials) -> str | None:
    """What a person has to change for a client with these credentials to be let in at HOST:PORT, and why.

    None where nothing of that kind is known: the server lets the client in, or is away. Asks the server once, or twice
    where it might be ending at this moment. Raises CredentialsError for files of the client that are of no use.
    """
    found = _trouble(address, credentials)
    if found is not None:
        time.sleep(_AGAIN_S)
        found = _trouble(address, credentials)
    return found


def _trouble(address: str, credentials: Credentials) -> str | None:
    context = client_context(credentials) if credentials.uses_tls else _curious()
    context.set_alpn_protocols(["h2"])
    place = urlsplit(f"//{address}")
    name = credentials.server_name or place.hostname or ""
    shaken = False
    try:
        with (
            socket.create_connection((place.hostname, place.port or 0), REACH_S) as connection,
            context.wrap_socket(connection, server_hostname=name) as encrypted,
        ):
            shaken = True
            if not credentials.uses_tls:
                return _wants_tls(address)
            # Of its client's certificate a server judges when its client is through with the handshake.
            return None if encrypted.recv(1) else _not_let_in(address, credentials)
    except ssl.SSLCertVerificationError as error:
        return _not_trusted(address, credentials, name, error)
    except ssl.SSLEOFError:
        return _not_let_in(address, credentials) if shaken else None
    except ssl.SSLError as error:
        if error.reason in _NOT_TLS:
            return _has_no_tls(address) if credentials.uses_tls else None
        if not credentials.uses_tls:
            return _wants_tls(address)  # it refuses in the words of TLS
        return _not_let_in(address, credentials, error.reason or "")
    except ConnectionResetError:
        return _not_let_in(address, credentials) if shaken and credentials.uses_tls else None
    except OSError:
        return None


def _curious() -> ssl.SSLContext:
    """For finding out whether a server speaks TLS at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _wants_tls(address: str) -> str:
    return (
        f"the server {address} wants TLS, and this client was not told to use it; name the file with the CA that has "
        "signed that server's certificate: ca under [triton.tls] of a job file, or --tls-ca"
    )


def _has_no_tls(address: str) -> str:
    return (
        f"the server {address} answers without TLS, and this client was told to use it; start that server with TLS "
        "(`rayton serve --tls-cert --tls-key`), or leave out the CA if its network is trusted"
    )


def _not_trusted(address: str, credentials: Credentials, name: str, error: ssl.SSLCertVerificationError) -> str:
    reason = error.verify_message.rstrip(".")
    what = f"the certificate of the server {address} is not accepted: {reason}"
    if "mismatch" in reason:
        return (
            f"{what}; if {address} is the right server, say which name its certificate has: server_name under "
            "[triton.tls] of a job file, or --tls-server-name"
        )
    if "expired" in reason or "not yet valid" in reason:
        return f"{what}; give that server one that is valid now (this machine's clock says {time.strftime('%F %R %Z')})"
    return f"{what}; {credentials.ca} has to hold the CA that has signed it"


def _not_let_in(address: str, credentials: Credentials, reason: str = "") -> str:
    said = f" ({reason.replace('_', ' ').lower()})" if reason else ""
    if credentials.cert is None:
        return (
            f"the server {address} lets in only clients with a certificate{said}; name yours and its key: cert "
            "and key under [triton.tls] of a job file, or --tls-cert and --tls-key"
        )
    return (
        f"the server {address} does not accept this client's certificate {credentials.cert}{said}; it has to be valid "
        "now, made for clients (extendedKeyUsage clientAuth), and signed by the CA that this server trusts"
    )
