"""Two real photographs, as scikit-learn ships them: 640 x 427, JPEG."""

from __future__ import annotations

from importlib import resources

NAMES = ("china.jpg", "flower.jpg")


def photographs() -> list[bytes]:
    """The files, as they are."""
    return [(resources.files("sklearn.datasets.images") / name).read_bytes() for name in NAMES]
