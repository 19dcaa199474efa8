from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from ray_pipeline.transport import wire
from ray_pipeline.transport.base import Request

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def parsed(request: Request) -> service_pb2.ModelInferRequest:
    message = wire.encoded(wire.head_of(request), list(request.inputs.values()))
    return service_pb2.ModelInferRequest.FromString(message)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 1_000_000])
def test_protobuf_reads_what_was_put_together_by_hand(size: int) -> None:
    array = (np.arange(size) % 251).astype(np.uint8)[None]
    read = parsed(Request("model", 3, {"x": ROWS, "bytes": array}, ("y", "z")))
    assert (read.model_name, read.model_version) == ("model", "3")
    assert [(one.name, one.datatype, list(one.shape)) for one in read.inputs] == [
        ("x", "FP32", [2, 3]),
        ("bytes", "UINT8", [1, size]),
    ]
    assert [output.name for output in read.outputs] == ["y", "z"]
    assert list(read.raw_input_contents) == [ROWS.tobytes(), array.tobytes()]


def test_rows_that_do_not_lie_in_one_piece_are_sent_in_their_order() -> None:
    assert parsed(Request("model", 1, {"x": ROWS.T}, ())).raw_input_contents[0] == ROWS.T.tobytes()


def test_strings_go_as_lengths_and_bytes() -> None:
    strings = np.array([[b"ab"], [b""]], np.object_)
    assert parsed(Request("model", 1, {"x": strings}, ())).raw_input_contents[0] == b"\2\0\0\0ab\0\0\0\0"


def test_tensors_that_came_elsewhere_stand_for_the_empty_ones_in_the_answer() -> None:
    answer = service_pb2.ModelInferResponse()
    for name, raw in (("here", ROWS.tobytes()), ("there", b"")):
        answer.outputs.add(name=name, datatype="FP32", shape=[2, 3])
        answer.raw_output_contents.append(raw)
    tensors = wire.decoded(answer, {"there": ROWS + 1})
    np.testing.assert_array_equal(tensors["here"], ROWS)
    np.testing.assert_array_equal(tensors["there"], ROWS + 1)
