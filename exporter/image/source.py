"""Images: cast, scale, normalisation and layout move into the graph, so that pixels travel as bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exporter.arrays import Array, Tensors
from exporter.errors import ExportError, SourceError
from exporter.image.graph import Normalisation, put_in_front
from exporter.signature import specs_seen
from exporter.sources.base import Case, Source
from triton_models.card import ImagePreparation
from triton_models.config.model import MODEL_FILE
from triton_models.tensors import TensorSpec

IMAGE = "image"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZE_FORMS = "imagenet, none, or MEAN/STD of pixels between 0 and 1, as in 0.5/0.5 or 0.5,0.5,0.5/0.2,0.2,0.2"
FLOATS = ("FP16", "FP32", "FP64")
CHANNELS: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class ImageOptions:
    """What becomes of an image: resized to `height` x `width` (see ImagePreparation), then inside the graph
    `(pixel * scale - mean) / std` for each channel, and `layout`. One number in `mean` and `std` is for all channels.
    """

    height: int
    width: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["nchw", "nhwc"] = "nchw"
    scale: float = 1 / 255
    shortest_edge: int | None = None
    resample: str = "bilinear"

    def preparation(self, channels: Literal["L", "RGB"]) -> ImagePreparation:
        """What the card says."""
        return ImagePreparation(IMAGE, self.height, self.width, self.shortest_edge, self.resample, channels)

    def normalised(self, pixels: Array) -> NDArray[np.float32]:
        """Pixels [rows, height, width, channels] as the model wants them: FP32, in its layout."""
        scaled: NDArray[np.float32] = pixels.astype(np.float32) * np.float32(self.scale)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        found: NDArray[np.float32] = (scaled - mean) / std
        return found.transpose(0, 3, 1, 2) if self.layout == "nchw" else found


def parse_image_options(image: str, normalize: str | None, layout: str) -> ImageOptions:
    """What `--image`, `--normalize` and `--layout` say. Raises ExportError, which tells the forms."""
    size = re.fullmatch(r"(\d+)(?:x(\d+))?", image)
    if size is None or not all(int(side) > 0 for side in size.groups() if side is not None):
        raise ExportError(f"--image is {image}; it is HEIGHTxWIDTH, as in 224x224, or one number for a square")
    if layout not in ("nchw", "nhwc"):
        raise ExportError(f"--layout is {layout}; it is nchw (channels before height and width) or nhwc (behind them)")
    mean, std = _normalisation(normalize or "none")
    return ImageOptions(int(size[1]), int(size[2] or size[1]), mean, std, "nchw" if layout == "nchw" else "nhwc")


def _normalisation(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if text == "imagenet":
        return IMAGENET
    if text == "none":
        return (0.0,), (1.0,)
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in text.split("/"))
    except ValueError:
        raise ExportError(f"--normalize is {text}; it is {NORMALIZE_FORMS}") from None
    if len(mean) != len(std) or len(mean) not in (1, 3) or not all(np.isfinite([*mean, *std])) or min(std) <= 0:
        raise ExportError(
            f"--normalize is {text}; there must be one number, or one for each of three channels, on either side of "
            "the stroke, and each behind it larger than 0"
        )
    return mean, std


@dataclass(frozen=True)
class ImageSource:
    """A source that takes images as UINT8 [height, width, channels] in place of the floats of `inner`."""

    inner: Source
    options: ImageOptions
    channels: int
    texts = None

    @property
    def label(self) -> str:
        """As the inner source is called."""
        return self.inner.label

    @property
    def labels(self) -> tuple[str, ...]:
        """The inner source's."""
        return self.inner.labels

    @property
    def preparation(self) -> ImagePreparation:
        """How an encoded image becomes pixels."""
        return self.options.preparation(CHANNELS[self.channels])

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The pixels."""
        return (TensorSpec(IMAGE, "UINT8", self._shape),)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the inner source gives; where its height and width moved, seen from two runs."""
        if self.inner.inputs[0].is_fixed:
            return self.inner.outputs
        asked = [self._random(2), self._random(3)]
        return specs_seen(asked, [self.answers(inputs) for inputs in asked])

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """Noise, and soft pictures of any brightness, at each batch size."""
        noise = [Case("noise", self._random(batch)) for batch in batches]
        return [*noise, *(Case("soft pictures", self._soft(batch)) for batch in batches)]

    def answers(self, inputs: Tensors) -> Tensors:
        """What the inner source answers to pixels that were normalised here."""
        (spec,) = self.inner.inputs
        return self.inner.answers({spec.name: self.options.normalised(inputs[IMAGE]).astype(spec.numpy)})

    def write(self, folder: Path) -> None:
        """Writes the inner source, and puts what comes before it in front of its graph."""
        self.inner.write(folder)
        options, (spec,) = self.options, self.inner.inputs
        normalisation = Normalisation(options.scale, options.mean, options.std, options.layout)
        put_in_front(folder / MODEL_FILE, spec, self.inputs[0], normalisation, self.outputs)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.options.height, self.options.width, self.channels

    def _random(self, batch: int) -> Tensors:
        random = np.random.default_rng(batch)
        return {IMAGE: random.integers(0, 256, (batch, *self._shape), np.uint8)}

    def _soft(self, batch: int) -> Tensors:
        """Noise is the same grey to every model that looks at more than a few pixels; these differ row by row."""
        random = np.random.default_rng(batch)
        down, across = np.linspace(0, 1, self._shape[0])[:, None, None], np.linspace(0, 1, self._shape[1])[:, None]
        corners = random.uniform(0, 255, (4, batch, 1, 1, self.channels))
        above = corners[0] * (1 - across) + corners[1] * across
        below = corners[2] * (1 - across) + corners[3] * across
        return {IMAGE: np.rint(above * (1 - down) + below * down).astype(np.uint8)}


def with_image_input(source: Source, options: ImageOptions) -> Source:
    """The same model with an input `image` UINT8 [height, width, channels]. Raises SourceError if it takes none."""
    if len(source.inputs) != 1:
        names = ", ".join(spec.name for spec in source.inputs)
        raise SourceError(f"--image is for models with one input; {source.label} has {len(source.inputs)}: {names}")
    (spec,) = source.inputs
    if any(output.name == IMAGE for output in source.outputs):
        raise SourceError(f"an output of {source.label} is called {IMAGE}, which the input will be; use --output-name")
    if spec.dtype not in FLOATS:
        raise SourceError(f"--image makes floats out of pixels, but {source.label} takes {spec}")
    wanted = {"nchw": ("channels", "height", "width"), "nhwc": ("height", "width", "channels")}[options.layout]
    if len(spec.shape) != 3:
        raise SourceError(f"--image is for inputs [{', '.join(wanted)}]; {source.label} takes {spec}")
    sizes = dict(zip(wanted, spec.shape, strict=True))
    if sizes["channels"] not in CHANNELS:
        other = "nhwc" if options.layout == "nchw" else "nchw"
        raise SourceError(
            f"{source.label} takes {spec}, which is {sizes['channels']} channels in the layout {options.layout}; there "
            f"must be 1 or 3: try --layout {other}, or give the axis of channels its one length"
        )
    for side, length in (("height", options.height), ("width", options.width)):
        if sizes[side] not in (-1, length):
            raise SourceError(f"--image has the {side} {length}, but {source.label} takes {spec}: {sizes[side]}")
    if len(options.mean) not in (1, sizes["channels"]):
        raise SourceError(
            f"the normalisation is for {len(options.mean)} channels, but {source.label} takes {spec}; give --normalize "
            "one number for each channel, or one for all, as in 0.5/0.5"
        )
    return ImageSource(source, options, sizes["channels"])
