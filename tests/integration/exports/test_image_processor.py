from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from exporter.errors import SourceError
from exporter.image.processor import prove_options, read_options
from exporter.image.source import IMAGENET, ImageOptions

HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def processor(folder: Path, **settings: Any) -> Any:
    """What Transformers makes of a preprocessor_config.json."""
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    loader: Any = transformers.AutoImageProcessor
    return loader.from_pretrained(folder, backend="pil", local_files_only=True)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (
            {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 48}, "resample": 3},
            ImageOptions(32, 48, *HALVES, resample="bicubic"),
        ),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 32}, ImageOptions(32, 32, *HALVES)),
        (
            {"image_processor_type": "ViTImageProcessor", "size": 32, "do_normalize": False, "resample": 0},
            ImageOptions(32, 32, resample="nearest"),
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "size": 32, "do_rescale": False, "do_normalize": False},
            ImageOptions(32, 32, scale=1.0),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}, "crop_pct": 0.875},
            ImageOptions(64, 64, *HALVES, shortest_edge=73, resample="bicubic"),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "crop_pct": 0.875},
            ImageOptions(384, 384, *HALVES, resample="bicubic"),
        ),
        (
            {
                "image_processor_type": "MobileNetV2ImageProcessor",
                "size": {"shortest_edge": 73},
                "crop_size": {"height": 64, "width": 57},
                "image_mean": IMAGENET[0],
                "image_std": IMAGENET[1],
            },
            ImageOptions(64, 57, *IMAGENET, shortest_edge=73),
        ),
        (
            {"image_processor_type": "DeiTImageProcessor", "size": 32, "crop_size": 32},
            ImageOptions(32, 32, *HALVES, resample="bicubic"),
        ),
    ],
)
def test_what_a_processor_does_is_read_and_proven(tmp_path: Path, settings: Any, wanted: ImageOptions) -> None:
    found = processor(tmp_path, **settings)
    assert read_options(found, "tiny") == wanted
    prove_options(found, wanted, "RGB", "tiny")


@pytest.mark.parametrize(
    "settings",
    [
        {"image_processor_type": "DeiTImageProcessor", "size": 36, "crop_size": 32},
        {"image_processor_type": "ViTImageProcessor", "size": 32, "do_resize": False},
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 36},
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "do_center_crop": False},
    ],
)
def test_what_a_card_cannot_say_is_refused_with_the_way_out(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(SourceError, match="which a card cannot say; give --image HEIGHTxWIDTH and --normalize"):
        read_options(processor(tmp_path, **settings), "tiny")


def test_a_processor_that_does_more_is_found_out_on_pictures(tmp_path: Path) -> None:
    found = processor(tmp_path, image_processor_type="EfficientNetImageProcessor", size=32, rescale_offset=True)
    with pytest.raises(SourceError, match=r"does more than resize, cut, scale and normalise: .* comes out .* apart"):
        prove_options(found, read_options(found, "tiny"), "RGB", "tiny")


def test_another_filter_is_found_out_on_pictures(tmp_path: Path) -> None:
    found = processor(tmp_path, image_processor_type="ViTImageProcessor", size=32, resample=3)
    with pytest.raises(SourceError, match="does more than"):
        prove_options(found, ImageOptions(32, 32, *HALVES), "RGB", "tiny")
