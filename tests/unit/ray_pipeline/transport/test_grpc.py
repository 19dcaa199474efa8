from __future__ import annotations

import grpc
import pytest

from ray_pipeline.errors import FatalError, InferenceError, RefusedError, RestrictedError, RetryableError
from ray_pipeline.transport.grpc import OUTCOMES, error_of, retired

RESTRICTED = "This protocol is restricted, expecting header 'triton-grpc-protocol-infer-key'"


class FailedCall(grpc.RpcError):  # type: ignore[misc]  # grpc ships no types
    """What a call raises, as far as it matters here."""

    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


def error(code: grpc.StatusCode, details: str | None = "why") -> InferenceError:
    return error_of(FailedCall(code, details), "host:1")


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_status_of_grpc_means_something_for_the_rows(code: grpc.StatusCode) -> None:
    assert type(error(code)) is OUTCOMES[code]
    assert OUTCOMES[code] in (RetryableError, RefusedError, FatalError)


def test_only_what_waiting_can_heal_is_retried() -> None:
    codes = {code.name for code, outcome in OUTCOMES.items() if outcome is RetryableError}
    assert codes == {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "DATA_LOSS"}


def test_rows_are_not_to_blame_for_a_process_that_the_server_has_lost() -> None:
    lost = "Stub process 'minilm_0' is not healthy."
    assert type(error(grpc.StatusCode.INTERNAL, lost)) is RetryableError
    assert lost in str(error(grpc.StatusCode.INTERNAL, lost))
    assert type(error(grpc.StatusCode.INTERNAL, "onnx runtime error: the picture is not healthy")) is RefusedError


def test_a_protocol_that_needs_a_key_is_not_waited_for() -> None:
    found = error(grpc.StatusCode.UNAVAILABLE, RESTRICTED)
    assert type(found) is RestrictedError
    assert isinstance(found, FatalError)
    assert "name the file with that key as control_key_file under [triton]" in str(found)


def test_an_error_says_which_server_and_which_status() -> None:
    assert str(error(grpc.StatusCode.NOT_FOUND)) == "server host:1: why (NOT_FOUND)"
    assert str(error(grpc.StatusCode.UNAVAILABLE, None)) == "server host:1: no details (UNAVAILABLE)"


def test_the_reason_of_a_refused_row_is_what_the_server_said_alone() -> None:
    assert str(error(grpc.StatusCode.INVALID_ARGUMENT)) == "why"


@pytest.mark.parametrize("state", [None, "UNLOADING", "UNAVAILABLE"])
def test_a_version_that_gave_way_to_others_is_not_waited_for(state: str | None) -> None:
    states = {4: "READY", 5: "READY"} | ({3: state} if state else {})
    found = retired("host:1", "minilm", 3, states)
    assert type(found) is FatalError
    assert "version 3 of 'minilm' is no longer served by host:1; it serves 4, 5" in str(found)
    assert "without `url` under [triton]" in str(found)
    assert "score with version 5 into a new output folder" in str(found)


@pytest.mark.parametrize(
    "states", [{}, {3: "UNLOADING"}, {3: "LOADING", 4: "READY"}, {3: "READY", 4: "READY"}, {4: "LOADING"}], ids=str
)
def test_a_version_that_may_come_back_is_not_taken_for_retired(states: dict[int, str]) -> None:
    assert retired("host:1", "minilm", 3, states) is None
