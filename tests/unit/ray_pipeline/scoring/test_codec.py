from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ray_pipeline.errors import FatalError
from ray_pipeline.scoring.codec import Answers, RowLists, arrow_type, batch_of
from triton_models.tensors import DTYPES, Dtype, TensorSpec

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.triton)
TWO_OF_THREE = np.array([True, False, True])


def rows_of(dtype: Dtype, *shape: int) -> Any:
    """Two rows with the ends of the type's range among their values."""
    count = int(np.prod((2, *shape)))
    if dtype.triton == "BYTES":
        return np.array([b"", "ü".encode(), b"\xff\0", *[b"x"] * count][:count], np.object_).reshape(2, *shape)
    ends: list[Any] = [0, 1]
    if dtype.numpy.kind in "iu":
        ends += [np.iinfo(dtype.numpy.name).min, np.iinfo(dtype.numpy.name).max]
    if dtype.numpy.kind == "f":
        ends += [np.inf, -0.5]
    return np.resize(np.array(ends, dtype.numpy), (2, *shape))


def collected(tensor: TensorSpec, rows: Any) -> pa.Array:
    answers = Answers(tensor, 3)
    answers.put(np.array([2]), rows[1:])
    answers.put(np.array([0]), rows[:1])
    return answers.to_arrow(TWO_OF_THREE)


@each_dtype
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=["scalar", "list", "matrix"])
def test_answers_of_a_fixed_shape_come_back_in_the_order_of_the_rows(dtype: Dtype, shape: tuple[int, ...]) -> None:
    rows, tensor = rows_of(dtype, *shape), TensorSpec("y", dtype.triton, shape)
    column = collected(tensor, rows)
    assert column.type == arrow_type(tensor)
    assert column.to_pylist() == [rows[0].tolist() if shape else rows[0], None, rows[1].tolist() if shape else rows[1]]


@each_dtype
@pytest.mark.parametrize("shape", [(-1,), (-1, 2)], ids=["list", "lists of two"])
def test_answers_of_a_moving_shape_keep_their_own_lengths(dtype: Dtype, shape: tuple[int, ...]) -> None:
    tensor, inner = TensorSpec("y", dtype.triton, shape), shape[1:]
    answers = Answers(tensor, 3)
    long, empty = rows_of(dtype, 3, *inner)[:1], np.zeros((1, 0, *inner), dtype.numpy)
    answers.put(np.array([2]), long)
    answers.put(np.array([0]), empty)
    column = answers.to_arrow(TWO_OF_THREE)
    assert column.type == arrow_type(tensor)
    assert column.to_pylist() == [[], None, long[0].tolist()]


def test_answers_with_several_moving_axes_keep_each_its_own_shape() -> None:
    tensor = TensorSpec("y", "INT64", (-1, 2, -1))
    first, last = np.arange(12).reshape(1, 2, 2, 3), np.arange(2).reshape(1, 1, 2, 1)
    answers = Answers(tensor, 3)
    answers.put(np.array([2]), last)
    answers.put(np.array([0]), first)
    assert answers.to_arrow(TWO_OF_THREE).to_pylist() == [first[0].tolist(), None, last[0].tolist()]


def test_an_axis_that_moves_inside_one_that_does_not_is_empty_where_there_is_no_answer() -> None:
    answers = Answers(TensorSpec("y", "FP16", (2, -1)), 3)
    answers.put(np.array([0, 2]), np.ones((2, 2, 3), np.float16))
    assert answers.to_arrow(TWO_OF_THREE).to_pylist() == [[[1] * 3] * 2, None, [[1] * 3] * 2]


def test_numbers_of_a_fixed_shape_reach_arrow_without_a_copy() -> None:
    answers = Answers(TensorSpec("y", "FP32", (3,)), 2)
    answers.put(np.array([0, 1]), np.ones((2, 3), np.float32))
    answered = np.array([True, True])
    one, other = answers.to_arrow(answered), answers.to_arrow(answered)
    assert one.values.buffers()[1].address == other.values.buffers()[1].address


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ((2, 3), np.ones((2, 3, 2), np.float32)),
        ((3,), np.ones((2, 4), np.float32)),
        ((3,), np.ones((1, 3), np.float32)),
        ((3,), np.ones((2, 3), np.float64)),
        ((), np.ones((2, 2), np.float32)),
        ((-1, 2), np.ones((2, 4, 3), np.float32)),
        ((-1,), np.ones((2,), np.float32)),
    ],
)
def test_an_answer_that_is_not_what_the_card_says_ends_the_job(shape: tuple[int, ...], values: Any) -> None:
    with pytest.raises(FatalError, match="the server runs another model than the card describes"):
        Answers(TensorSpec("y", "FP32", shape), 2).put(np.array([0, 1]), values)


@pytest.mark.parametrize("values", [np.ones((2,), np.float32), np.ones((2, 1), np.float32)])
def test_a_scalar_may_come_back_with_the_axis_that_triton_adds(values: Any) -> None:
    answers = Answers(TensorSpec("y", "FP32", ()), 2)
    answers.put(np.array([0, 1]), values)
    assert answers.to_arrow(np.array([True, True])).to_pylist() == [1, 1]


def test_a_size_that_is_fixed_is_one_in_arrow_too() -> None:
    assert arrow_type(TensorSpec("y", "FP32", (384,))) == pa.list_(pa.float32(), 384)
    assert arrow_type(TensorSpec("y", "INT64", (-1, 2))) == pa.list_(pa.list_(pa.int64(), 2))
    assert arrow_type(TensorSpec("y", "BOOL", ())) == pa.bool_()


def test_a_chunk_without_answers_is_a_column_of_nulls() -> None:
    for shape in ((), (2,), (-1,)):
        column = Answers(TensorSpec("y", "FP32", shape), 2).to_arrow(np.array([False, False]))
        assert column.to_pylist() == [None, None]
        nothing = Answers(TensorSpec("y", "FP32", shape), 0).to_arrow(np.array([], np.bool_))
        assert (len(nothing), nothing.type) == (0, column.type)


@each_dtype
def test_a_list_column_becomes_a_batch(dtype: Dtype) -> None:
    rows = rows_of(dtype, 3)
    kind = pa.binary() if dtype.triton == "BYTES" else pa.from_numpy_dtype(dtype.numpy)
    column = pa.chunked_array([pa.array([row.tolist() for row in rows], pa.list_(kind))])
    stacked = RowLists.of(column).stacked(np.array([1, 0]))
    batch = batch_of(TensorSpec("x", dtype.triton, (3,)), stacked)
    assert batch.dtype == dtype.numpy
    np.testing.assert_array_equal(batch, rows[::-1])


def test_shorter_rows_are_filled_up_at_their_end() -> None:
    lists = RowLists.of(pa.chunked_array([pa.array([[1], [], [1, 2, 3]], pa.list_(pa.int32()))]))
    assert lists.lengths.tolist() == [1, 0, 3]
    assert lists.stacked(np.array([2, 0, 1]), fill=9).tolist() == [[1, 2, 3], [1, 9, 9], [9, 9, 9]]


def test_rows_of_one_length_that_follow_each_other_are_not_copied() -> None:
    lists = RowLists.of(pa.chunked_array([pa.array([[9], [1, 2], [3, 4], [5, 6]], pa.list_(pa.int32()))]))
    neighbours = lists.stacked(np.array([1, 2]))
    assert neighbours.tolist() == [[1, 2], [3, 4]]
    assert np.shares_memory(neighbours, lists.values)
    assert lists.stacked(np.array([2, 1])).tolist() == [[3, 4], [1, 2]]
    assert lists.stacked(np.array([3, 1])).tolist() == [[5, 6], [1, 2]]


def test_rows_from_the_middle_of_a_column_in_pieces_are_the_right_ones() -> None:
    piece = pa.array([[0], [1, 1], [2], [3]], pa.list_(pa.int32()))
    lists = RowLists.of(pa.chunked_array([piece.slice(1, 2), piece.slice(3)]))
    assert lists.stacked(np.array([0, 1, 2])).tolist() == [[1, 1], [2, 0], [3, 0]]


@pytest.mark.parametrize(
    ("shape", "width", "wire"),
    [((), 1, (2, 1)), ((2, 3), 6, (2, 2, 3)), ((-1,), 5, (2, 5)), ((-1, 2), 6, (2, 3, 2)), ((-1, 2), 0, (2, 0, 2))],
)
def test_flat_rows_get_the_shape_of_the_tensor(shape: tuple[int, ...], width: int, wire: tuple[int, ...]) -> None:
    assert batch_of(TensorSpec("x", "FP32", shape), np.zeros((2, width))).shape == wire
