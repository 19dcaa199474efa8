from __future__ import annotations

import pytest
from tritonclient.utils import InferenceServerException

from triton_models.errors import ServerError
from triton_models.server.errors import BrokenModelError, LoadRefusedError, UnreachableError, VersionMissingError
from triton_models.server.live import error_of, load_everywhere

BROKEN = """load failed for model 'small': version 2 is at UNAVAILABLE state: Internal: LoadError: unable to load \
model 'small', ONNX Runtime refuses its file: Protobuf parsing failed.

At:
  /backends/onnxruntime/session.py(44): open_session
;
"""


def explained(status: str, said: str) -> ServerError:
    return error_of(InferenceServerException(said, f"StatusCode.{status}"), "node:8001", "small", 120.0)


@pytest.mark.parametrize(
    ("status", "said", "kind", "next_step"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", UnreachableError, "is this its gRPC port?"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", UnreachableError, "did not answer in 120 s"),
        (
            "UNAVAILABLE",
            "explicit model load / unload is not allowed if polling is enabled",
            LoadRefusedError,
            "start it again, best with --model-control-mode=explicit",
        ),
        (
            "UNAVAILABLE",
            "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
            LoadRefusedError,
            "only for clients with its key",
        ),
        (
            "INTERNAL",
            "failed to load 'small', failed to poll from model repository",
            VersionMissingError,
            "Give that server the repository in which the version was published",
        ),
        (
            "UNAVAILABLE",
            "Request for unknown model: 'small' version 2 is not at ready state",
            VersionMissingError,
            "let go of a version",
        ),
        ("INVALID_ARGUMENT", BROKEN, BrokenModelError, "correct the model and publish it again"),
    ],
)
def test_what_a_server_says_becomes_an_error_with_the_next_step(
    status: str, said: str, kind: type[ServerError], next_step: str
) -> None:
    found = explained(status, said)
    assert type(found) is kind
    assert "node:8001" in str(found)
    assert next_step in str(found)


def test_the_reason_of_a_model_that_does_not_load_is_readable() -> None:
    assert str(explained("INVALID_ARGUMENT", BROKEN)).startswith(
        "node:8001 cannot load small: unable to load model 'small', ONNX Runtime refuses its file: Protobuf parsing "
        "failed.; it goes on with the version that it had"
    )


@pytest.mark.parametrize("address", ["node", "http://node:8000", "node:", "node:port", ""])
def test_what_is_no_address_of_a_server_is_named(address: str) -> None:
    with pytest.raises(UnreachableError, match="is not the address of a server's gRPC; give HOST:PORT"):
        load_everywhere([address], "small", 2)
