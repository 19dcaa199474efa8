from __future__ import annotations

import numpy as np

from exporter.samples import lengths_of, resampled

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
