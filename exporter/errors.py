"""The errors of an export. Whatever is raised here, nothing was published."""

from __future__ import annotations

from triton_models.errors import RaytonError


class ExportError(RaytonError):
    """A model that cannot be exported as asked.

    `details` is what the libraries below had to say about it; it is for a terminal and may be long.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class SourceError(ExportError):
    """A source that is not there, not complete, or not one that Rayton opens."""


class ConversionError(ExportError):
    """PyTorch cannot express the model as ONNX."""


class ParityError(ExportError):
    """The export answers otherwise than its source."""


def first_line(error: BaseException) -> str:
    """The first line of what a library said, which often goes on for pages; its type where it said nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
