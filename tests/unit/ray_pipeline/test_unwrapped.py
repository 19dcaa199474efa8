from __future__ import annotations

import pytest
from ray.exceptions import RayTaskError

from ray_pipeline.errors import FatalError
from ray_pipeline.unwrapped import worker_errors_unwrapped
from triton_models.errors import CardError, ConfigError


def test_an_error_of_a_worker_is_told_without_what_ray_says_about_it() -> None:
    told = FatalError("server a: not there")
    wrapped = RayTaskError("score", "Traceback ...", told).as_instanceof_cause()  # type: ignore[no-untyped-call]
    with pytest.raises(FatalError) as raised, worker_errors_unwrapped():
        raise wrapped
    assert raised.value is told


def test_an_error_of_this_process_keeps_what_it_adds_to_its_cause() -> None:
    with pytest.raises(CardError, match=r"card\.json: tensor type"), worker_errors_unwrapped():
        raise CardError("card.json: tensor type X") from ConfigError("tensor type X")


def test_an_error_that_is_not_for_people_stays_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), worker_errors_unwrapped():
        raise ZeroDivisionError
