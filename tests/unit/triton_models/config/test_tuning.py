from __future__ import annotations

from typing import Any

import pytest

from triton_models.config.tuning import DEFAULT_TUNING, Tuning
from triton_models.errors import ConfigError


def test_one_instance_where_there_is_a_place_is_the_default() -> None:
    assert (DEFAULT_TUNING.devices, DEFAULT_TUNING.instances, DEFAULT_TUNING.threads) == (("auto",), 1, None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"devices": ("gpu",)}, "device 'gpu' is not known; use one of auto, cpu, cuda, tensorrt"),
        ({"devices": ()}, "needs a device; use one of auto, cpu, cuda, tensorrt"),
        ({"devices": ("cpu", "cpu")}, "device cpu is given twice"),
        ({"devices": ("cpu", "auto")}, "device auto stands alone"),
        ({"devices": ("cuda", "tensorrt")}, "cuda and tensorrt exclude each other"),
        ({"instances": 0}, "instances is 0; it must be 1 or more"),
        ({"threads": 0}, "threads is 0; it must be 1 or more, or be left out for all"),
    ],
)
def test_what_no_server_can_do_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Tuning(**wrong)
