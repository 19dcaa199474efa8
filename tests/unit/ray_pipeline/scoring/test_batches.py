from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.scoring.batches import cut

LENGTHS = st.lists(st.integers(0, 300), max_size=120)


@given(LENGTHS, st.integers(1, 20), st.none() | st.integers(1, 1000), st.booleans())
def test_each_row_is_in_one_batch_and_every_limit_holds(
    lengths: list[int], max_rows: int, max_elements: int | None, padding: bool
) -> None:
    batches = cut(np.array(lengths, np.int64), max_rows, max_elements, padding=padding)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        of_batch = [lengths[row] for row in batch]
        assert 1 <= len(batch) <= max_rows
        assert max_elements is None or len(batch) == 1 or len(batch) * max(of_batch) <= max_elements
        assert padding or len(set(of_batch)) == 1


@pytest.mark.parametrize(
    ("lengths", "max_rows", "max_elements", "sizes"),
    [
        ([5] * 10, 4, None, [4, 4, 2]),
        ([1] * 6 + [10] * 2, 8, 20, [2, 6]),
        ([100, 1, 100, 1], 8, 100, [1, 1, 2]),
        ([1000], 8, 100, [1]),
        ([], 8, 100, []),
    ],
)
def test_batches_are_as_full_as_the_limits_let_them_be(
    lengths: list[int], max_rows: int, max_elements: int | None, sizes: list[int]
) -> None:
    batches = cut(np.array(lengths, np.int64), max_rows, max_elements, padding=True)
    assert [len(batch) for batch in batches] == sizes


def test_the_longest_come_first() -> None:
    batches = cut(np.array([1, 9, 5, 9]), 2, None, padding=True)
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 0]]


def test_rows_of_one_length_stay_in_order() -> None:
    (batch,) = cut(np.array([7, 7, 7]), 8, None, padding=False)
    assert batch.tolist() == [0, 1, 2]
