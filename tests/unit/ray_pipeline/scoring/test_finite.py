from __future__ import annotations

import numpy as np
import pytest

from ray_pipeline.scoring.finite import nonfinite_rows


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_each_row_tells_how_many_numbers_of_which_outputs_are_not_finite(kind: type[np.floating]) -> None:
    matrix = np.ones((3, 2, 2), kind)
    matrix[0, 1] = np.nan
    matrix[2, 0, 0] = np.inf
    found = nonfinite_rows({"a": matrix, "b": np.array([-np.inf, 1, 1], kind)})
    assert found == {
        0: "2 of 4 numbers of output 'a' are NaN or infinite; 1 of 1 numbers of output 'b' are NaN or infinite",
        2: "1 of 4 numbers of output 'a' are NaN or infinite",
    }


def test_what_cannot_hold_nan_is_finite() -> None:
    answer = {"i": np.array([1]), "s": np.array([b"nan"], np.object_), "none": np.ones((1, 0), np.float32)}
    assert nonfinite_rows(answer) == {}
