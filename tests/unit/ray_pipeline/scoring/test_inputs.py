from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.scoring.batches import TOKENS_PER_BATCH
from ray_pipeline.scoring.inputs import Inputs, inputs_of
from tests.support.job_models import PAD, Y, image_model, pair_model, tensor_model, text_model
from triton_models.tensors import TensorSpec

MOVING = TensorSpec("tags", "INT64", (-1,))


def texts(*lengths: int, padding_free: bool = True, outputs: tuple[TensorSpec, ...] = (Y,)) -> Inputs:
    model = text_model(types="types", padding_free=padding_free, outputs=outputs)
    column = pa.array([[5] * length for length in lengths], pa.list_(pa.int32()))
    return inputs_of(model, pa.table({prepared_column(model, "ids"): column}))


def batches(inputs: Inputs) -> list[list[int]]:
    return [rows.tolist() for rows in inputs.batches()]


def test_short_texts_are_padded_to_the_longest_of_their_batch() -> None:
    tensors = texts(1, 3).tensors(np.array([0, 1]))
    assert {name: array.tolist() for name, array in tensors.items()} == {
        "ids": [[5, PAD, PAD], [5, 5, 5]],
        "mask": [[1, 0, 0], [1, 1, 1]],
        "types": [[0, 0, 0], [0, 0, 0]],
    }
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.int64)}


def test_texts_of_like_length_go_together() -> None:
    assert batches(texts(9, 1, 8, 2, 1, 1)) == [[0, 2, 3, 1], [4, 5]]


def test_a_batch_holds_no_more_tokens_than_the_caches() -> None:
    assert batches(texts(TOKENS_PER_BATCH // 2, TOKENS_PER_BATCH // 2, TOKENS_PER_BATCH)) == [[2], [0, 1]]


def test_nothing_is_padded_where_padding_changes_answers() -> None:
    assert batches(texts(2, 1, 2, padding_free=False)) == [[0, 2], [1]]


def test_nothing_is_padded_where_an_answer_is_as_long_as_its_text() -> None:
    assert batches(texts(2, 1, 2, outputs=(TensorSpec("per_token", "FP32", (-1,)),))) == [[0, 2], [1]]


def test_rows_of_one_shape_go_together() -> None:
    model = tensor_model(inputs=(MOVING, TensorSpec("x", "FP32", (2,))))
    table = pa.table(
        {
            prepared_column(model, "tags"): [[1], [1, 2], [3], [], [5, 6]],
            prepared_column(model, "x"): [[0.0, 1.0]] * 5,
        }
    )
    inputs = inputs_of(model, table)
    assert batches(inputs) == [[1, 4], [0, 2], [3]]
    tensors = inputs.tensors(np.array([1, 4]))
    assert tensors["tags"].tolist() == [[1, 2], [5, 6]]
    assert tensors["x"].dtype == np.float32


def test_rows_that_may_not_meet_go_one_by_one() -> None:
    model = dataclasses.replace(tensor_model(), max_batch_size=0)
    inputs = inputs_of(model, pa.table({prepared_column(model, "x"): [[1.0], [2.0], [3.0]]}))
    assert batches(inputs) == [[0], [1], [2]]
    assert inputs.tensors(np.array([1]))["x"].tolist() == [[2.0]]


def test_no_rows_are_no_batches() -> None:
    model = tensor_model(inputs=(MOVING,))
    table = pa.table({prepared_column(model, "tags"): pa.array([[1]], pa.list_(pa.int64()))})
    assert batches(inputs_of(model, table.filter(pa.array([False])))) == []
    assert batches(texts()) == []


def test_pairs_go_with_the_types_of_their_tokens() -> None:
    model = pair_model()
    table = pa.table(
        {
            prepared_column(model, "ids"): pa.array([[2, 4, 3, 5, 3], [2, 3, 3]], pa.list_(pa.int32())),
            prepared_column(model, "types"): pa.array([[0, 0, 0, 1, 1], [0, 0, 1]], pa.list_(pa.int8())),
        }
    )
    tensors = inputs_of(model, table).tensors(np.array([1, 0]))
    assert tensors["types"].tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert tensors["mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.int64)}


def test_pictures_go_as_the_bytes_that_they_are() -> None:
    model = image_model(height=1, width=2)
    rows = [bytes(range(first, first + 6)) for first in range(0, 60, 10)]
    column = pa.chunked_array([pa.array([b"sliced", *rows[:4]], pa.binary(6))[1:], pa.array(rows[4:], pa.binary(6))])
    inputs = inputs_of(model, pa.table({prepared_column(model, "image"): column}))
    assert batches(inputs) == [[0, 1, 2, 3], [4, 5]]
    image = inputs.tensors(np.array([5, 0]))["image"]
    assert (image.dtype, image.shape) == (np.uint8, (2, 1, 2, 3))
    assert image.tolist() == [[[[50, 51, 52], [53, 54, 55]]], [[[0, 1, 2], [3, 4, 5]]]]


def test_no_pictures_are_no_batches() -> None:
    model = image_model()
    table = pa.table({prepared_column(model, "image"): pa.array([bytes(18)], pa.binary(18))})
    assert batches(inputs_of(model, table.filter(pa.array([False])))) == []
