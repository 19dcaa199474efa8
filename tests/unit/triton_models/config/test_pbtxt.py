from __future__ import annotations

import pytest

from triton_models.config.model import model_config
from triton_models.config.pbtxt import from_pbtxt, to_pbtxt
from triton_models.config.tuning import Tuning
from triton_models.errors import ConfigError
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3, -1))


@pytest.mark.parametrize("max_batch_size", [0, 8])
@pytest.mark.parametrize("devices", [("auto",), ("cpu", "tensorrt")])
def test_the_text_reads_back_as_the_same_config(max_batch_size: int, devices: tuple[str, ...]) -> None:
    written = model_config("small", (X,), (X,), max_batch_size, Tuning(devices), warm_up=[{"x": (3, 5)}])
    assert from_pbtxt(to_pbtxt(written), "config.pbtxt") == written


def test_what_is_not_a_config_names_its_file() -> None:
    with pytest.raises(ConfigError, match=r"small/config.pbtxt is not a model configuration: .*nonsense"):
        from_pbtxt("nonsense: 1", "small/config.pbtxt")
