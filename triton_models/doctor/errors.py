"""What can come out of an examination."""

from __future__ import annotations

from triton_models.errors import ServerError


class ModelMissingError(ServerError):
    """A running server does not have the model that was to be examined, or none at all."""


class UnsafeToShareError(ServerError):
    """A model was examined, and bulk beside its online users would harm them, or they are harmed already."""
