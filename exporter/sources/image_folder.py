"""A Hugging Face folder of an image model: the model, and what its image processor does as the card will say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from exporter.chatter import captured
from exporter.errors import SourceError, first_line
from exporter.image.processor import prove_options, read_options
from exporter.image.source import CHANNELS, ImageOptions, with_image_input
from exporter.sources.base import Source
from exporter.sources.folder import PREPROCESSOR, Kind, labels_of, read_json
from exporter.sources.module import RunningModule
from exporter.sources.pixels import PixelSource
from exporter.sources.sentence import Classifier, Encoder
from exporter.sources.transformer import load_transformer
from exporter.target import Target

INPUT = "pixel_values"


def open_images(
    folder: Path, kind: Kind, label: str, trust_remote_code: bool, target: Target, given: ImageOptions | None
) -> Source:
    """The model with an input of UINT8 pixels; `given` takes the place of the image processor in the folder.

    Raises SourceError, also for a processor that does more than can be put into a card and a graph.
    """
    config = read_json(folder / "config.json")
    channels = int(config.get("num_channels", 3))
    options = given
    if options is None:
        processor = _processor(folder, trust_remote_code)
        options = read_options(processor, folder.name)
        if channels in CHANNELS:
            prove_options(processor, options, CHANNELS[channels], folder.name)
    transformer = load_transformer(folder, kind, trust_remote_code)
    module = Encoder(transformer) if kind == "image encoder" else Classifier(transformer)
    running = RunningModule(module.eval(), (INPUT,), True)
    labels = labels_of(config) if kind == "image classifier" else ()
    shape = (channels, options.height, options.width)
    return with_image_input(PixelSource(label, running, shape, labels, target), options)


def _processor(folder: Path, trust_remote_code: bool) -> Any:
    if not (folder / PREPROCESSOR).is_file():
        raise SourceError(
            f"{folder} has no {PREPROCESSOR}, so nobody knows how it wants its images; give --image and --normalize"
        )
    loader: Any = transformers.AutoImageProcessor
    with captured() as heard:
        try:
            # Pillow's filters are there on every machine and answer alike on all of them.
            return loader.from_pretrained(
                folder, backend="pil", local_files_only=True, trust_remote_code=trust_remote_code
            )
        except Exception as error:
            raise SourceError(
                f"the image processor of {folder.name} cannot be loaded: {first_line(error)}", heard.getvalue()
            ) from error
