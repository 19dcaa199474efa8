from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triton_models.card import ImagePreparation
from triton_models.pixels import pixels

SQUARE = ImagePreparation("image", 2, 2, resample="nearest")
RED, BLUE = (255, 0, 0), (0, 0, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100})])
def test_every_format_gives_the_same_pixels(kind: str, options: dict[str, Any]) -> None:
    found = pixels(encoded(halves(32, 16), kind, **options), SQUARE)
    assert found.dtype == np.uint8
    assert found.shape == (2, 2, 3)
    assert np.abs(found.astype(int) - [[RED, BLUE], [RED, BLUE]]).max() <= 2


def test_without_an_edge_the_whole_picture_is_squeezed() -> None:
    assert pixels(encoded(halves(40, 2)), SQUARE).tolist() == [[[*RED], [*BLUE]]] * 2


def test_with_an_edge_the_middle_is_cut_out_and_proportions_stay() -> None:
    image = Image.new("RGB", (9, 3), RED)
    image.paste(BLUE, (3, 0, 6, 3))
    cut = ImagePreparation("image", 3, 3, shortest_edge=3, resample="nearest")
    assert (pixels(encoded(image), cut) == BLUE).all()
    assert (pixels(encoded(image.rotate(90, expand=True)), cut) == BLUE).all()


def test_grey_stays_one_channel_and_becomes_three_where_they_are_wanted() -> None:
    grey = encoded(Image.new("L", (4, 4), 77))
    assert pixels(grey, ImagePreparation("image", 2, 2, channels="L")).tolist() == [[[77], [77]]] * 2
    assert pixels(grey, SQUARE).tolist() == [[[77] * 3] * 2] * 2


def test_transparent_pictures_lie_on_white() -> None:
    clear = encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    with_palette = Image.new("P", (4, 4), 0)
    with_palette.putpalette([255, 0, 0])
    assert (pixels(clear, SQUARE) == 255).all()
    assert (pixels(encoded(with_palette, transparency=0), SQUARE) == 255).all()
    assert (pixels(encoded(with_palette), SQUARE) == RED).all()


def test_exif_does_not_turn_a_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    assert pixels(encoded(halves(4, 4), exif=exif), SQUARE).tolist() == [[[*RED], [*BLUE]]] * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes that are no image; read are JPEG, PNG, WEBP"),
        (b"GIF89a", "no image"),
        (encoded(halves(8, 8), "BMP"), "no image"),
        (encoded(halves(64, 64), "JPEG")[:400], "cannot be decoded: .*Truncated"),
        (encoded(halves(64, 64))[:100], "cannot be decoded"),
        (encoded(Image.fromarray(np.zeros((4, 4), np.uint16))), "mode I;16, more than 8 bits a channel"),
    ],
)
def test_what_is_no_picture_says_why(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pixels(content, SQUARE)
