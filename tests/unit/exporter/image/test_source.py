from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from exporter.errors import ExportError, SourceError
from exporter.exported import Exported
from exporter.image.source import IMAGENET, ImageOptions, parse_image_options, with_image_input
from exporter.sources.base import Source
from exporter.sources.onnx_file import open_onnx
from tests.support.onnx_models import DOUBLES, onnx_file
from triton_models.card import ImagePreparation
from triton_models.tensors import TensorSpec

COLOURED = "g (float[N, 3, 4, 6] x) => (float[N, 3, 4, 6] y) { y = Neg(x) }"
MOVING = "g (float[N, 3, H, W] x) => (float[N, 3, H, W] y) { y = Neg(x) }"
GREY = "g (float[N, 1, 4, 6] x) => (float[N, 1, 4, 6] y) { y = Neg(x) }"
CHANNELS_LAST = "g (float[N, 4, 6, 3] x) => (float[N, 4, 6, 3] y) { y = Neg(x) }"
HALVES = "g (float16[N, 3, 4, 6] x) => (float16[N, 3, 4, 6] y) { y = Neg(x) }"
CALLED_ALIKE = "g (float[N, 3, 4, 6] image) => (float[N, 3, 4, 6] y) { z = Neg(image)  y = Add(z, image) }"
CALLED_ALIKE_INSIDE = "g (float[N, 3, 4, 6] x) => (float[N, 3, 4, 6] y) { image = Neg(x)  y = Add(image, image) }"
SMALL = ImageOptions(4, 6, *IMAGENET)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)


def source(graph: str, folder: Path) -> Source:
    return open_onnx(onnx_file(folder / "small.onnx", graph))


def answered(wrapped: Source, folder: Path, pixels: Any, apart: float = 1e-5) -> Any:
    """What the written graph answers; it must not be further apart from what the source itself says."""
    version = folder / "1"
    version.mkdir()
    wrapped.write(version)
    found = Exported(version / "model.onnx").answers({"image": pixels})
    assert np.allclose(found["y"], wrapped.answers({"image": pixels})["y"], atol=apart)
    return found["y"]


@pytest.mark.parametrize(
    ("image", "normalize", "layout", "wanted"),
    [
        ("224x160", None, "nchw", ImageOptions(224, 160)),
        ("224", "none", "nhwc", ImageOptions(224, 224, layout="nhwc")),
        ("32", "imagenet", "nchw", ImageOptions(32, 32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
        ("8", "0.5/0.25", "nchw", ImageOptions(8, 8, (0.5,), (0.25,))),
        ("8", "0.5,0.4,0.3/1,2,3", "nchw", ImageOptions(8, 8, (0.5, 0.4, 0.3), (1.0, 2.0, 3.0))),
    ],
)
def test_the_three_options_are_read(image: str, normalize: str | None, layout: str, wanted: ImageOptions) -> None:
    assert parse_image_options(image, normalize, layout) == wanted


@pytest.mark.parametrize(
    ("image", "normalize", "layout", "said"),
    [
        ("224x", None, "nchw", "--image is 224x; it is HEIGHTxWIDTH, as in 224x224"),
        ("0x224", None, "nchw", "--image is 0x224"),
        ("224", "cifar", "nchw", "--normalize is cifar; it is imagenet, none, or MEAN/STD"),
        ("224", "0.5,0.5/0.5,0.5", "nchw", "one number, or one for each of three channels"),
        ("224", "0.5/0.5,0.5,0.5", "nchw", "one number, or one for each of three channels"),
        ("224", "0.5/0", "nchw", "larger than 0"),
        ("224", "nan/1", "nchw", "larger than 0"),
        ("224", None, "chw", "--layout is chw; it is nchw .* or nhwc"),
    ],
)
def test_a_wrong_option_is_answered_with_its_forms(image: str, normalize: str | None, layout: str, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        parse_image_options(image, normalize, layout)


def test_pixels_are_scaled_and_normalised_channel_by_channel_inside_the_graph(tmp_path: Path) -> None:
    wrapped = with_image_input(source(COLOURED, tmp_path), SMALL)
    found = answered(wrapped, tmp_path, PIXELS)

    assert wrapped.inputs == (TensorSpec("image", "UINT8", (4, 6, 3)),)
    assert wrapped.preparation == ImagePreparation("image", 4, 6)
    assert found.shape == (5, 3, 4, 6)
    mean, std = IMAGENET
    for channel in range(3):
        wanted = (PIXELS[..., channel] / 255 - mean[channel]) / std[channel]
        assert np.allclose(found[:, channel], -wanted, atol=1e-5)


def test_channels_stay_behind_where_the_model_wants_them_there(tmp_path: Path) -> None:
    options = ImageOptions(4, 6, (0.5,), (0.25,), layout="nhwc")
    found = answered(with_image_input(source(CHANNELS_LAST, tmp_path), options), tmp_path, PIXELS)
    assert np.allclose(found, -(PIXELS / 255 - 0.5) / 0.25, atol=1e-5)


def test_one_channel_is_grey(tmp_path: Path) -> None:
    wrapped = with_image_input(source(GREY, tmp_path), ImageOptions(4, 6))
    found = answered(wrapped, tmp_path, PIXELS[..., :1])
    assert wrapped.preparation == ImagePreparation("image", 4, 6, channels="L")
    assert np.allclose(-found[:, 0], PIXELS[..., 0] / 255, atol=1e-6)


def test_halves_are_made_behind_the_arithmetic(tmp_path: Path) -> None:
    found = answered(with_image_input(source(HALVES, tmp_path), SMALL), tmp_path, PIXELS, apart=2e-3)
    assert found.dtype == np.float16


def test_a_moving_height_and_width_get_their_one_length(tmp_path: Path) -> None:
    wrapped = with_image_input(source(MOVING, tmp_path), SMALL)
    answered(wrapped, tmp_path, PIXELS)
    assert [str(tensor) for tensor in wrapped.outputs] == ["y FP32[3, 4, 6]"]
    (written,) = onnx.load(tmp_path / "1" / "model.onnx").graph.output
    assert [dim.dim_value for dim in written.type.tensor_type.shape.dim[1:]] == [3, 4, 6]


@pytest.mark.parametrize("graph", [CALLED_ALIKE, CALLED_ALIKE_INSIDE])
def test_a_value_that_is_called_image_already_makes_room(graph: str, tmp_path: Path) -> None:
    found = answered(with_image_input(source(graph, tmp_path), ImageOptions(4, 6)), tmp_path, PIXELS)
    wanted = 0 if graph == CALLED_ALIKE else PIXELS.transpose(0, 3, 1, 2) / 255 * -2
    assert np.allclose(found, wanted, atol=1e-5)


def test_weights_in_another_file_are_left_there(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "small.onnx", "g (float[N, 3, 4, 6] x) => (float[N, 3, 4, 6] y) { y = Mul(x, w) }")
    model = onnx.load(path)
    weights = np.array([1, 2, 3], np.float32).reshape(3, 1, 1)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, path, save_as_external_data=True, location="small.data", size_threshold=0)
    found = answered(with_image_input(open_onnx(path), ImageOptions(4, 6)), tmp_path, PIXELS)

    written = onnx.load(tmp_path / "1" / "model.onnx", load_external_data=False)
    assert [one.name for one in written.graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL] == ["w"]
    assert np.allclose(found[:, 2], PIXELS[..., 2] / 255 * 3, atol=1e-5)


def test_the_proofs_get_noise_and_soft_pictures_that_differ_row_by_row(tmp_path: Path) -> None:
    cases = with_image_input(source(COLOURED, tmp_path), SMALL).cases([1, 7])
    assert [(case.label, case.batch) for case in cases] == [
        ("noise", 1),
        ("noise", 7),
        ("soft pictures", 1),
        ("soft pictures", 7),
    ]
    for case in cases:
        images = case.inputs["image"]
        assert images.dtype == np.uint8
        assert images.shape[1:] == (4, 6, 3)
        assert len({row.tobytes() for row in images}) == case.batch


@pytest.mark.parametrize(
    ("graph", "options", "said"),
    [
        (DOUBLES, SMALL, r"--image is for inputs \[channels, height, width\]; small.onnx takes x FP32\[3\]"),
        ("g (float[N, 3] x, float[N, 3] w) => (float[N, 3] y) { y = Add(x, w) }", SMALL, "models with one input"),
        ("g (int64[N, 3, 4, 6] x) => (int64[N, 3, 4, 6] y) { y = Neg(x) }", SMALL, "makes floats out of pixels"),
        (CHANNELS_LAST, ImageOptions(4, 6), "4 channels in the layout nchw.*try --layout nhwc"),
        (COLOURED, ImageOptions(4, 8), r"--image has the width 8, but small.onnx takes x FP32\[3, 4, 6\]: 6"),
        (GREY, SMALL, "the normalisation is for 3 channels, but small.onnx takes"),
        ("g (float[N, 3, 4, 6] x) => (float[N, 3, 4, 6] image) { image = Neg(x) }", SMALL, "use --output-name"),
    ],
)
def test_a_model_that_takes_no_images_is_refused(graph: str, options: ImageOptions, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said):
        with_image_input(source(graph, tmp_path), options)
