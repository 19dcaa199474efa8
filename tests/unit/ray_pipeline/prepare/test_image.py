from __future__ import annotations

import io

import pyarrow as pa
import pytest
from PIL import Image

from ray_pipeline.prepare.image import prepare_images
from ray_pipeline.rejection import Rejection, Rejections
from triton_models.card import ImagePreparation

SMALL = ImagePreparation("image", 2, 3, resample="nearest")


def picture(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (7, 5), grey).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_every_picture_becomes_bytes_of_one_length(kind: pa.DataType) -> None:
    rejections: Rejections = [None, None]
    found = prepare_images(pa.chunked_array([[picture(7)], [picture(8)]], kind), "picture", SMALL, rejections)
    assert found.type == pa.binary(18)
    assert found.to_pylist() == [bytes([7] * 18), bytes([8] * 18)]
    found.validate(full=True)


def test_grey_pictures_have_one_byte_a_pixel() -> None:
    grey = ImagePreparation("image", 2, 3, channels="L")
    assert prepare_images(pa.chunked_array([[picture(7)]]), "picture", grey, [None]).to_pylist() == [bytes([7] * 6)]


def test_a_broken_picture_is_rejected_and_its_neighbours_are_not() -> None:
    earlier = Rejection("NotJson", "not read")
    rejections: Rejections = [None, None, None, earlier]
    images = pa.chunked_array([[picture(1), picture(2)[:30], None, None]], pa.binary())
    found = prepare_images(images, "picture", SMALL, rejections)
    assert found.to_pylist() == [bytes([1] * 18), None, None, None]
    assert found.null_count == 3
    assert rejections[0] is None
    assert rejections[1] is not None
    assert rejections[1].error == "CorruptImage"
    told = rejections[1].message
    assert told.startswith("column 'picture': 30 bytes that are no image") or "decoded" in told
    assert rejections[2:] == [Rejection("NullValue", "column 'picture': null is not an image"), earlier]


def test_a_column_of_nulls_is_rejected_row_by_row() -> None:
    rejections: Rejections = [None, None]
    assert prepare_images(pa.chunked_array([pa.nulls(2)]), "picture", SMALL, rejections).to_pylist() == [None, None]
    assert [one and one.error for one in rejections] == ["NullValue", "NullValue"]


def test_no_rows_are_an_empty_column() -> None:
    assert prepare_images(pa.chunked_array([], pa.binary()), "picture", SMALL, []).to_pylist() == []
