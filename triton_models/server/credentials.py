"""What a client shows to a server, and whom it trusts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from triton_models.server.errors import CredentialsError


@dataclass(frozen=True)
class Credentials:
    """Paths of PEM files and of a control key: nothing in it is secret, so it may travel to other processes and nodes.

    With `ca` the connection uses TLS, and the certificate of the server has to come from one of those in that file.
    `cert` and `key` are shown to a server that asks its clients for a certificate. `server_name` is what the server's
    certificate has to be made for, where that is not the host of its address. The key in `control_key_file` opens what
    a server has restricted: loading models, sharing memory, traces and logs.

    Raises CredentialsError for a half of what belongs together.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    control_key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise CredentialsError(
                f"a {given} without its {missing}: give the {missing} of {self.cert or self.key} too"
            )
        if self.ca is None and (useless := self.cert or self.server_name):
            raise CredentialsError(
                f"{useless} is of use only with TLS, and no CA is given; name the file with the CA that has signed the "
                "server's certificate too (/etc/ssl/certs/ca-certificates.crt for the public ones)"
            )

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.ca is not None


NONE = Credentials()
"""No TLS, no key: for a server of this machine."""


def to_word(credentials: Credentials) -> str:
    """Credentials as one argument of a command."""
    given = {name: str(value) for name, value in asdict(credentials).items() if value is not None}
    return json.dumps(given)


def of_word(word: str) -> Credentials:
    """What `to_word` wrote."""
    given: dict[str, str] = json.loads(word)
    server_name = given.pop("server_name", None)
    return Credentials(server_name=server_name, **{name: Path(path) for name, path in given.items()})
