"""What an image processor of Transformers does, read from its settings and proven on pictures."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exporter.errors import SourceError, first_line
from exporter.image.source import ImageOptions
from triton_models.pixels import pixels

WAY_OUT = "give --image HEIGHTxWIDTH and --normalize MEAN/STD in its place, and prepare the images so yourself"
WARPS_FROM = 384
"""Processors with `crop_pct` cut smaller pictures and squeeze those of this size and above."""
PICTURES = ((310, 470), (480, 300), (37, 51))
"""Height and width of the pictures on which the reading is proven: broad, tall, and smaller than what is wanted."""
LARGEST_DIFFERENCE = 1e-4


def read_options(processor: Any, name: str) -> ImageOptions:
    """The settings as a card says them. Raises SourceError where it cannot."""
    from PIL import Image

    height, width, edge = _sizes(processor, name)
    mean, std = (processor.image_mean, processor.image_std) if getattr(processor, "do_normalize", False) else (0.0, 1.0)
    if mean is None or std is None:
        raise SourceError(f"the image processor of {name} normalises, but by no numbers; {WAY_OUT}")
    resample = getattr(processor, "resample", None)
    return ImageOptions(
        height=height,
        width=width,
        mean=_numbers(mean),
        std=_numbers(std),
        scale=float(processor.rescale_factor) if getattr(processor, "do_rescale", False) else 1.0,
        shortest_edge=edge,
        resample=Image.Resampling(Image.Resampling.BILINEAR if resample is None else int(resample)).name.lower(),
    )


def _sizes(processor: Any, name: str) -> tuple[int, int, int | None]:
    """Height, width, and the shortest edge before cutting where the picture keeps its proportions."""
    size, crop = getattr(processor, "size", None), getattr(processor, "crop_size", None)
    cut = (crop.height, crop.width) if getattr(processor, "do_center_crop", False) and crop is not None else None
    if getattr(processor, "do_resize", False) and size is not None:
        edge, share = size.shortest_edge, getattr(processor, "crop_pct", None)
        if edge and not size.longest_edge:
            if share is not None and cut is None:
                return (edge, edge, int(edge / share)) if edge < WARPS_FROM else (edge, edge, None)
            if cut is not None and max(cut) <= edge:
                return *cut, edge
        if size.height and size.width and cut in (None, (size.height, size.width)):
            return size.height, size.width, None
    raise SourceError(
        f"the image processor of {name} ({type(processor).__name__}) resizes to {_said(size)}"
        f"{f' and cuts {_said(crop)}' if cut else ''}, which a card cannot say; {WAY_OUT}"
    )


def prove_options(processor: Any, options: ImageOptions, channels: Literal["L", "RGB"], name: str) -> None:
    """Raises SourceError unless the processor gives the same numbers as a caller and the graph will."""
    from PIL import Image

    preparation = options.preparation(channels)
    for height, width in PICTURES:
        picture = Image.fromarray(_picture(height, width)).convert(channels)
        file = io.BytesIO()
        picture.save(file, "PNG")
        ours = options.normalised(pixels(file.getvalue(), preparation)[np.newaxis])
        try:
            theirs = np.asarray(processor(images=picture, return_tensors="np")["pixel_values"])
        except Exception as error:  # whatever its code raises
            raise SourceError(f"the image processor of {name} fails: {first_line(error)}; {WAY_OUT}") from error
        apart = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else np.inf
        if apart > LARGEST_DIFFERENCE:
            raise SourceError(
                f"the image processor of {name} ({type(processor).__name__}) does more than resize, cut, scale and "
                f"normalise: a picture of {width} x {height} comes out {apart:.3g} apart; {WAY_OUT}"
            )


def _picture(height: int, width: int) -> NDArray[np.uint8]:
    """Colours that run into each other under noise: edges, soft parts and every brightness."""
    down, across = np.mgrid[0:height, 0:width]
    colours = np.stack([down * 255 / height, across * 255 / width, 127 + 127 * np.sin(down / 9 + across / 5)], axis=-1)
    noise = np.random.default_rng(height).normal(0, 20, colours.shape)
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else (float(value),)


def _said(size: Any) -> str:
    known = {key: value for key, value in dict(size).items() if value is not None} if size is not None else {}
    return ", ".join(f"{key} {value}" for key, value in known.items()) or "no size"
