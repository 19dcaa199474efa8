from __future__ import annotations

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.errors import ParityError
from exporter.limits import limits
from exporter.proofs.compare import compare, measured, passes
from exporter.proofs.parity import DIFFERS
from triton_models.card import Check
from triton_models.tensors import TensorSpec

VECTOR = TensorSpec("vector", "FP32", (3,))
RIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], np.float32)


LIMITS = limits("fp32", cosine=0.999)


def ok(check: Check) -> bool:
    return passes(check, LIMITS)


def check_of(wanted: Array, found: Array, tolerance: float | None = None) -> Check:
    return measured("random", VECTOR, wanted, found, limits("fp32", tolerance, 0.999), len(wanted))


def test_equal_answers_pass_with_no_difference() -> None:
    check = check_of(RIGHT, RIGHT.copy())
    assert (check.max_abs, check.cosine, passes(check, LIMITS)) == (0.0, 1.0, True)


@pytest.mark.parametrize(("size", "limit"), [(0.5, 1e-4), (0.02, 1e-4), (50.0, 1e-2), (1e-3, 2e-5), (0.0, 1e-6)])
def test_the_limit_grows_and_shrinks_with_the_answers(size: float, limit: float) -> None:
    answers = RIGHT * np.float32(size)
    assert check_of(answers, answers).limit == pytest.approx(limit)


def test_small_answers_that_are_all_wrong_are_found() -> None:
    assert not ok(check_of(RIGHT * np.float32(1e-5), RIGHT * np.float32(2e-5)))


def test_a_mismatch_names_output_difference_limit_and_batch() -> None:
    wrong = RIGHT.copy()
    wrong[1, 0] = 0.031
    with pytest.raises(ParityError, match=r"output vector differs by 0\.031 \(limit 0\.0002\).* at batch 2 \(random\)"):
        compare("random", [VECTOR], {"vector": RIGHT}, {"vector": wrong}, LIMITS, 2, DIFFERS)


def test_a_difference_of_a_hundredth_passes_only_where_it_was_allowed() -> None:
    wrong = RIGHT + np.float32(0.01)
    assert not ok(check_of(RIGHT, wrong))
    assert ok(check_of(RIGHT, wrong, tolerance=0.02))


def test_another_direction_fails_even_within_the_tolerance() -> None:
    wanted = np.array([[1.0, 0.0, 0.0], [9.0, 0.0, 0.0]], np.float32)
    turned = np.array([[1.0, 0.08, 0.0], [9.0, 0.0, 0.0]], np.float32)
    check = check_of(wanted, turned, tolerance=0.009)
    assert check.max_abs <= check.limit
    assert check.cosine == pytest.approx(0.99682, abs=1e-4)
    assert not passes(check, LIMITS)


def test_rows_too_short_to_have_a_direction_are_judged_by_their_difference_alone() -> None:
    wanted = np.array([[1e-6, 0.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    assert ok(check_of(wanted, np.abs(wanted) * np.array([[-1.0], [1.0]], np.float32)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_cannot_be_compared(value: float) -> None:
    broken = RIGHT.copy()
    broken[0, 0] = value
    with pytest.raises(ParityError, match="not a finite number"):
        check_of(broken, broken)


def test_other_shapes_and_types_are_refused() -> None:
    with pytest.raises(ParityError, match=r"the export gives \[2, 2\] .* which is no vector FP32\[3\]"):
        check_of(RIGHT, RIGHT[:, :2])
    with pytest.raises(ParityError, match="float64"):
        check_of(RIGHT, RIGHT.astype(np.float64))


def test_whole_numbers_must_be_equal() -> None:
    labels = TensorSpec("label", "INT64", ())
    wanted = np.array([1, 2, 3])
    assert passes(measured("random", labels, wanted, wanted.copy(), LIMITS, 3), LIMITS)
    off = measured("random", labels, wanted, np.array([1, 2, 4]), LIMITS, 3)
    assert (off.max_abs, off.limit, passes(off, LIMITS)) == (1.0, 0.0, False)
