from __future__ import annotations

from collections.abc import Callable

import pytest

from exporter.errors import ExportError, ParityError
from exporter.precision.ladder import Step, climb, distinct, worst_first

LOSSES = {f"node_{index}": float(index) for index in range(16)}


def refuses_below(fewest: int, tried: list[int]) -> Callable[[Step], None]:
    def attempt(step: Step) -> None:
        tried.append(len(step.kept))
        if len(step.kept) < fewest:
            raise ParityError(f"too far with {len(step.kept)}")

    return attempt


def test_the_worst_nodes_stay_in_growing_shares() -> None:
    steps = list(worst_first(lambda: LOSSES))
    assert [len(step.kept) for step in steps] == [0, 1, 2, 4, 8]
    assert steps[2].told == ("node_15", "node_14")
    assert steps[4].kept == {f"node_{index}" for index in range(8, 16)}


def test_nothing_is_measured_when_everything_can_be_lowered() -> None:
    def measured() -> dict[str, float]:
        raise AssertionError("measured")

    assert climb("int8", worst_first(measured), lambda step: None).kept == frozenset()


def test_one_node_at_least_is_lowered() -> None:
    assert [len(step.kept) for step in worst_first(lambda: {"only": 1.0})] == [0]
    assert [len(step.kept) for step in worst_first(lambda: {"a": 1.0, "b": 2.0})] == [0, 1]


def test_the_first_step_that_passes_is_taken() -> None:
    tried: list[int] = []
    assert len(climb("int8", worst_first(lambda: LOSSES), refuses_below(3, tried)).kept) == 4
    assert tried == [0, 1, 2, 4]


def test_the_refusal_says_the_first_and_the_last_reason() -> None:
    with pytest.raises(ParityError, match=r"int8 .* each of 5 attempts.*too far with 0\. With 8 nodes.*too far with 8"):
        climb("int8", worst_first(lambda: LOSSES), refuses_below(99, []))


def test_a_single_refusal_stays_as_it_is() -> None:
    with pytest.raises(ParityError, match=r"^too far with 0$"):
        climb("int8", worst_first(lambda: {"only": 1.0}), refuses_below(99, []))


def test_other_errors_end_the_climb() -> None:
    def fails(step: Step) -> None:
        raise ExportError("disk")

    with pytest.raises(ExportError, match="disk"):
        climb("int8", worst_first(lambda: LOSSES), fails)


def test_equal_steps_are_tried_once() -> None:
    once, twice = Step(frozenset(), ()), Step(frozenset({"a"}), ("a",))
    assert list(distinct([once, twice, once, twice])) == [once, twice]
