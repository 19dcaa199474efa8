from __future__ import annotations

import numpy as np

from exporter.samples import lengths_of, other_lengths, resampled

AXES = {"ids": {1: "tokens"}, "mask": {1: "tokens"}}
EXAMPLES = {
    "ids": np.array([[7, 11, 13]]),
    "mask": np.array([[1, 1, 0]], np.int32),
    "scale": np.zeros((1, 2), np.float32),
}


def made(batch: int, tokens: int) -> dict[str, np.ndarray]:
    return {**resampled(EXAMPLES, AXES, batch, {"tokens": tokens}, np.random.default_rng(0))}


def test_lengths_are_found_by_the_name_of_the_axis() -> None:
    assert lengths_of(EXAMPLES, AXES) == {"tokens": 3}


def test_batch_and_lengths_are_as_asked_and_types_stay() -> None:
    found = made(5, 8)
    assert {name: (array.shape, array.dtype) for name, array in found.items()} == {
        "ids": ((5, 8), np.dtype(np.int64)),
        "mask": ((5, 8), np.dtype(np.int32)),
        "scale": ((5, 2), np.dtype(np.float32)),
    }


def test_whole_numbers_stay_among_those_of_the_example() -> None:
    found = made(50, 20)
    assert set(np.unique(found["ids"])) == {7, 11, 13}
    assert set(np.unique(found["mask"])) == {0, 1}


def test_floats_that_are_all_alike_are_replaced_by_numbers_that_say_something() -> None:
    assert np.unique(made(50, 3)["scale"]).size == 100


def test_other_lengths_are_one_more_and_twice_and_half_of_all_axes() -> None:
    found = other_lengths({"height": 6, "width": 8}, {})
    assert found == [{"height": 7, "width": 9}, {"height": 12, "width": 16}, {"height": 3, "width": 4}]


def test_other_lengths_stay_in_their_ranges_and_are_not_those_that_are_known() -> None:
    assert other_lengths({"tokens": 8}, {"tokens": (5, 10)}) == [{"tokens": 9}, {"tokens": 10}, {"tokens": 5}]
    assert other_lengths({"tokens": 1}, {}) == [{"tokens": 2}]
    assert other_lengths({}, {}) == []
