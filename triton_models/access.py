"""The options of commands that talk to a running server: what they show to it. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from triton_models.server.credentials import Credentials

PANEL = "Access to a running server"

TlsCa = Annotated[
    Path | None,
    typer.Option(
        envvar="RAYTON_TLS_CA",
        help="Use TLS; the CA that has signed the server's certificate (PEM).",
        rich_help_panel=PANEL,
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(envvar="RAYTON_TLS_CERT", help="Your certificate, for mutual TLS (PEM).", rich_help_panel=PANEL),
]
TlsKey = Annotated[
    Path | None, typer.Option(envvar="RAYTON_TLS_KEY", help="The key of your certificate (PEM).", rich_help_panel=PANEL)
]
TlsServerName = Annotated[
    str | None,
    typer.Option(
        envvar="RAYTON_TLS_SERVER_NAME",
        help="A name in the server's certificate, where the host of its address is none.",
        rich_help_panel=PANEL,
    ),
]
ControlKeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="RAYTON_CONTROL_KEY_FILE",
        help="The file with the key that opens what the server has restricted.",
        rich_help_panel=PANEL,
    ),
]


def credentials_of(
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_server_name: str | None,
    control_key_file: Path | None,
) -> Credentials:
    """What these options say. Raises CredentialsError for a half of what belongs together."""
    from triton_models.server.credentials import Credentials

    return Credentials(tls_ca, tls_cert, tls_key, tls_server_name, control_key_file)
