"""Encoded images become pixels, as the card of a model says: for jobs, for proofs, and for whoever asks a server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from triton_models.card import ImagePreparation

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
"""Read by decoders that are libraries; others of Pillow's start programs or are seldom looked after."""
DEEP_MODES = ("I", "F")
"""How the modes begin whose numbers do not fit a byte; Pillow would cut them off."""


def pixels(content: bytes, preparation: ImagePreparation) -> NDArray[np.uint8]:
    """The pixels of one row, UINT8 [height, width, channels]. Raises ValueError, which says what is wrong.

    Like the image processors of Transformers, it does not turn pictures as their EXIF says, and puts transparent ones
    before white.
    """
    from PIL import Image

    image = _converted(_decoded(content), preparation.channels)
    filter_ = Image.Resampling[preparation.resample.upper()]
    width, height = _scaled_size(image.width, image.height, preparation)
    scaled = image if image.size == (width, height) else image.resize((width, height), filter_)
    left, top = (width - preparation.width) // 2, (height - preparation.height) // 2
    cut = scaled.crop((left, top, left + preparation.width, top + preparation.height))
    found: NDArray[np.uint8] = np.asarray(cut, np.uint8)
    return found.reshape(preparation.height, preparation.width, -1)


def _decoded(content: bytes) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        image.load()
    except UnidentifiedImageError as error:
        raise ValueError(f"{len(content)} bytes that are no image; read are {', '.join(FORMATS)}") from error
    except Exception as error:  # each decoder fails in its own way; one error is for pictures too large to be honest
        raise ValueError(f"the image cannot be decoded: {error}") from error
    if image.mode.startswith(DEEP_MODES):
        raise ValueError(f"the image has mode {image.mode}, more than 8 bits a channel")
    return image


def _converted(image: Image.Image, channels: str) -> Image.Image:
    from PIL import Image

    if "A" in image.getbands() or image.info.get("transparency") is not None:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear)
    return image.convert(channels)


def _scaled_size(width: int, height: int, preparation: ImagePreparation) -> tuple[int, int]:
    edge = preparation.shortest_edge
    if edge is None:
        return preparation.width, preparation.height
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge
