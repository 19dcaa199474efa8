from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.model import model_config
from triton_models.config.pbtxt import from_pbtxt
from triton_models.config.tensors import differences, inputs_of, outputs_of, takes_rows
from triton_models.tensors import DTYPES, TensorSpec

IDS = TensorSpec("ids", "INT64", (-1,))
PIXELS = TensorSpec("pixels", "UINT8", (3, -1, 224))
SCORE = TensorSpec("score", "FP32", ())
EACH = tuple(TensorSpec(dtype.triton.lower(), dtype.triton, (2,)) for dtype in DTYPES)


def config(*outputs: TensorSpec, max_batch_size: int = 8) -> ModelConfig:
    return model_config("small", (IDS, PIXELS), outputs, max_batch_size)


@pytest.mark.parametrize("max_batch_size", [0, 1, 64])
def test_the_rows_of_a_config_are_those_it_was_written_from(max_batch_size: int) -> None:
    written = config(SCORE, *EACH, max_batch_size=max_batch_size)
    assert takes_rows(written)
    assert inputs_of(written) == (IDS, PIXELS)
    assert outputs_of(written) == (SCORE, *EACH)


@pytest.mark.parametrize(("max_batch_size", "dims", "reshape"), [(8, [1], []), (0, [-1, 1], [-1])])
def test_a_scalar_row_is_one_number_on_the_wire_and_none_in_the_model(
    max_batch_size: int, dims: list[int], reshape: list[int]
) -> None:
    (output,) = config(SCORE, max_batch_size=max_batch_size).output
    assert list(output.dims) == dims
    assert output.HasField("reshape")
    assert list(output.reshape.shape) == reshape


def test_without_a_batch_axis_of_its_own_a_config_says_every_axis() -> None:
    assert [list(tensor.dims) for tensor in config(max_batch_size=0).input] == [[-1, -1], [-1, 3, -1, 224]]


def test_a_model_of_somebody_else_that_takes_one_thing_at_a_time_has_no_rows() -> None:
    alone = from_pbtxt(
        'input { name: "image" data_type: TYPE_FP32 dims: [3, 224, 224] } '
        'output { name: "boxes" data_type: TYPE_FP32 dims: [-1, 4] }',
        "config.pbtxt",
    )
    assert not takes_rows(alone)
    assert inputs_of(alone) == (TensorSpec("image", "FP32", (3, 224, 224)),)
    assert outputs_of(alone) == (TensorSpec("boxes", "FP32", (-1, 4)),)


def test_equal_configs_do_not_differ() -> None:
    assert differences(config(SCORE), config(SCORE)) == []
    assert differences(config(SCORE, max_batch_size=0), config(SCORE, max_batch_size=0)) == []


def test_how_a_model_is_run_is_not_compared() -> None:
    tuned = config(SCORE)
    tuned.instance_group[0].count = 4
    tuned.parameters["intra_op_thread_count"].string_value = "2"
    assert differences(tuned, config(SCORE)) == []


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (config(), ["output score FP32[] is gone"]),
        (config(SCORE, TensorSpec("label", "BYTES", (1,))), ["output label BYTES[1] is new"]),
        (
            config(TensorSpec("score", "FP16", ())),
            ["output score FP32[] is gone", "output score FP16[] is new"],
        ),
        (
            config(TensorSpec("score", "FP32", (1,))),
            ["output score FP32[] is gone", "output score FP32[1] is new"],
        ),
        (config(SCORE, max_batch_size=4), ["max_batch_size is 4 instead of 8"]),
        (config(SCORE, max_batch_size=0), ["max_batch_size is 0 instead of 8"]),
    ],
)
def test_what_a_client_would_notice_is_named(other: ModelConfig, found: list[str]) -> None:
    assert differences(config(SCORE), other) == found
