"""What can go wrong with the server of a node."""

from __future__ import annotations

from triton_models.errors import ServerError


class RuntimeInstallError(ServerError):
    """The embedded server's private environment cannot be made."""


class BrokenRuntimeError(ServerError):
    """The embedded server's private environment is there, but a server must not start from it."""


class UnsafeAddressError(ServerError):
    """The embedded server was asked to listen where other machines can reach it."""


class PortInUseError(ServerError):
    """A port that the server needs belongs to another process."""


class StartError(ServerError):
    """The server did not come up."""


class StarvedError(StartError):
    """The server aborted at its start because the process of a model got no processor."""


class BrokenModelError(StartError):
    """A model cannot be loaded, or cannot answer a request."""


class StopError(ServerError):
    """The server had to be killed, or failed while it stopped."""


class UnreachableError(ServerError):
    """A running server does not answer, or not in time."""


class LoadRefusedError(ServerError):
    """A running server does not let this client load models."""


class VersionMissingError(ServerError):
    """A running server does not have the version that it was asked to load."""


class CredentialsError(ServerError):
    """Certificates or keys cannot be read, do not fit together, or are not to be used any more."""
