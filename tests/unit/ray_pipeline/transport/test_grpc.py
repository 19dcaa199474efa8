from __future__ import annotations

import grpc
import pytest

from ray_pipeline.errors import FatalError, InferenceError, RefusedError, RetryableError
from ray_pipeline.transport.grpc import OUTCOMES, error_of

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


def test_a_protocol_that_needs_a_key_is_not_waited_for() -> None:
    assert type(error(grpc.StatusCode.UNAVAILABLE, RESTRICTED)) is FatalError


def test_an_error_says_which_server_and_which_status() -> None:
    assert str(error(grpc.StatusCode.NOT_FOUND)) == "server host:1: why (NOT_FOUND)"
    assert str(error(grpc.StatusCode.UNAVAILABLE, None)) == "server host:1: no details (UNAVAILABLE)"


def test_the_reason_of_a_refused_row_is_what_the_server_said_alone() -> None:
    assert str(error(grpc.StatusCode.INVALID_ARGUMENT)) == "why"
