"""Requests and answers of Triton's ModelInfer as bytes: a tensor is copied once on its way into a message.

protobuf copies a bytes field four times between an array and the message on the wire. The raw contents are the last
field of a request, so they are put behind the bytes of the rest as protobuf's encoding says: a tag, a length, the bytes
(https://protobuf.dev/programming-guides/encoding/#length-types).
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from ray_pipeline.transport.base import Request, Tensors
from triton_models.tensors import dtype_of, dtype_of_numpy

METHOD = "/inference.GRPCInferenceService/ModelInfer"

Array = np.ndarray[Any, Any]

_numbers = itertools.count(1)

_LENGTH_DELIMITED = 2
_RAW_FIELD = service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_RAW_TAG = bytes([_RAW_FIELD << 3 | _LENGTH_DELIMITED])


def head_of(request: Request) -> Any:
    """The request without the numbers in its tensors. Its id tells a reader of Triton's log that it is not a user's."""
    head = service_pb2.ModelInferRequest(
        id=f"rayton-{os.getpid()}-{next(_numbers)}", model_name=request.model, model_version=str(request.version)
    )
    for name, array in request.inputs.items():
        head.inputs.add(name=name, datatype=dtype_of_numpy(array.dtype).triton, shape=array.shape)
    for name in request.outputs:
        head.outputs.add(name=name)
    return head


def encoded(head: Any, inline: list[Array]) -> bytes:
    """The whole message: `inline` are the tensors of those inputs that lie nowhere else, in their order."""
    parts: list[Any] = [head.SerializeToString()]
    for array in inline:
        raw = _raw(array)
        parts += [_RAW_TAG, _varint(raw.nbytes), raw]
    return b"".join(parts)


def decoded(answer: Any, elsewhere: Tensors | None = None) -> Tensors:
    """The tensors of an answer: those that came `elsewhere`, and the others, which lie in the answer's own memory."""
    found = elsewhere or {}
    return {
        output.name: found[output.name] if output.name in found else array_of(output, raw)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def array_of(output: Any, raw: Any) -> Array:
    """One output from the bytes of its elements."""
    if output.datatype == "BYTES":
        flat: Array = deserialize_bytes_tensor(raw)
    else:
        flat = np.frombuffer(raw, dtype_of(output.datatype).numpy)
    return flat.reshape(tuple(output.shape))


def _raw(array: Array) -> memoryview:
    if array.dtype == np.object_:
        return memoryview(serialize_byte_tensor(array).item() if array.size else b"")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth bit."""
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
