"""Images: decoded, resized and cut as the card of the model says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ray_pipeline.rejection import Rejection, Rejections
from triton_models.card import ImagePreparation
from triton_models.pixels import pixels

CHANNELS = {"RGB": 3, "L": 1}


def prepare_images(
    images: pa.ChunkedArray, column: str, preparation: ImagePreparation, rejections: Rejections
) -> pa.Array:
    """The pixels of each encoded image, a `fixed_size_binary` of height x width x channels bytes, row by row.

    A row that is rejected already, or is null or no image that can be decoded, is null; `rejections` says why.
    """
    size = preparation.height * preparation.width * CHANNELS[preparation.channels]
    # Bytes in one piece: a list would hold an offset for each row, and ends at 2 GiB of pixels.
    rows = np.zeros((len(images), size), np.uint8)
    for row, image in enumerate(images):
        if rejections[row] is not None:
            continue
        content = image.as_py()
        if content is None:
            rejections[row] = Rejection("NullValue", f"column {column!r}: null is not an image")
            continue
        try:
            rows[row] = pixels(content, preparation).reshape(-1)
        except ValueError as error:
            rejections[row] = Rejection("CorruptImage", f"column {column!r}: {error}")
    good = pa.array([rejection is None for rejection in rejections], pa.bool_())
    return pa.Array.from_buffers(pa.binary(size), len(rows), [good.buffers()[1], pa.py_buffer(rows)])
