from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
import stamina
from obstore.exceptions import GenericError, PermissionDeniedError

from triton_models.errors import StorageError, StoreGoneError
from triton_models.healing import LEAST_TRIES, can_heal, healed, shortened

AWS = "When reading information for key 'x' in bucket 'b': AWS Error {} during GetObject operation: {}"
CURL = AWS.format("NETWORK_CONNECTION", "curlCode: {}")
OBSTORE = "Generic S3 error: Error performing PUT http://127.0.0.1:9000/b/x in 2ms, after 5 retries - {}"
ANSWERED = OBSTORE.format("Server returned non-2xx status code: {}")
XML = "<?xml version='1.0'?>\n<Error><Code>{}</Code><Message>{}</Message><AWSAccessKeyId>AKIAX</AWSAccessKeyId></Error>"
THROTTLED = OSError(AWS.format("SLOW_DOWN", "Please reduce your request rate."))


@pytest.mark.parametrize(
    "error",
    [
        THROTTLED,
        OSError(AWS.format("INTERNAL_FAILURE", "We encountered an internal error.")),
        OSError(AWS.format("SERVICE_UNAVAILABLE", "")),
        OSError(AWS.format("UNKNOWN (HTTP status 503)", "No response body.")),
        OSError(AWS.format("UNKNOWN (HTTP status 500)", "No response body.")),
        OSError(AWS.format("UNKNOWN (HTTP status 429)", "No response body.")),
        OSError(AWS.format("NO_SUCH_UPLOAD", "The specified upload does not exist.")),
        OSError(CURL.format("7, Could not connect to server; Details: Failed to connect to 127.0.0.1:1")),
        OSError(CURL.format("18, Transferred a partial file; Details: end of response with 500000 bytes missing")),
        OSError(CURL.format("28, Timeout was reached; Details: Operation too slow.")),
        OSError(CURL.format("35, SSL connect error; Details: Recv failure: Connection reset by peer")),
        OSError(CURL.format("52, Server returned nothing (no headers, no data)")),
        OSError(CURL.format("56, Failure when receiving data from the peer; Details: Connection reset by peer")),
        OSError("google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of CURL error [56]"),
        GenericError(ANSWERED.format("503 Service Unavailable: " + XML.format("SlowDown", "Slow."))),
        GenericError(ANSWERED.format("500 Internal Server Error: " + XML.format("InternalError", "Again."))),
        GenericError(ANSWERED.format("404 Not Found: " + XML.format("NoSuchUpload", "It is gone."))),
        GenericError(OBSTORE.format("HTTP error: error sending request")),
        GenericError("Generic S3 error: Error getting list response body: HTTP error: request or response body error"),
    ],
    ids=str,
)
def test_what_heals(error: Exception) -> None:
    assert can_heal(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(AWS.format("ACCESS_DENIED", "No response body.")),
        OSError(AWS.format("NO_SUCH_BUCKET", "The specified bucket does not exist")),
        OSError(AWS.format("NO_SUCH_KEY", "The specified key does not exist.")),
        OSError(AWS.format("INVALID_ACCESS_KEY_ID", "")),
        OSError(AWS.format("SIGNATURE_DOES_NOT_MATCH", "")),
        OSError(AWS.format("UNKNOWN (HTTP status 400)", "No response body.")),
        OSError(AWS.format("UNKNOWN (HTTP status 501)", "No response body.")),
        OSError(CURL.format("3, URL using bad/illegal format or missing URL")),
        OSError(CURL.format("35, SSL connect error; Details: wrong version number")),
        OSError(CURL.format("60, SSL peer certificate or SSH remote key was not OK")),
        OSError("google::cloud::Status(PERMISSION_DENIED: no access"),
        FileNotFoundError("[Errno 2] Path does not exist 'b/x'"),
        PermissionDeniedError(ANSWERED.format("403 Forbidden: " + XML.format("AccessDenied", "No."))),
        GenericError(OBSTORE.format("HTTP error: error sending request\n\nDebug source: invalid peer certificate")),
        GenericError(OBSTORE.format("HTTP error: builder error")),
        pa.ArrowInvalid("Parquet magic bytes not found in footer. Either the file is corrupted"),
        OSError("Corrupt snappy compressed data."),
        OSError("Couldn't deserialize thrift: TProtocolException: Exceeded size limit"),
        OSError(28, "No space left on device"),
        ValueError("AWS Error SLOW_DOWN during GetObject operation is the text of row 7"),
        StorageError("anything"),
    ],
    ids=str,
)
def test_what_does_not(error: Exception) -> None:
    assert not can_heal(error)


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_an_error_is_judged_by_what_it_was_raised_from() -> None:
    assert can_heal(raised_from(StorageError("the file cannot be read"), THROTTLED))
    assert not can_heal(raised_from(StorageError("the file cannot be read"), pa.ArrowInvalid("no Parquet")))
    assert not can_heal(raised_from(StoreGoneError("tried for long"), THROTTLED))


@pytest.fixture
def without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10):
        yield


class Operation:
    """Raises `error` until the given try."""

    def __init__(self, error: Exception, succeeds_at: int | None = None) -> None:
        self.error, self.succeeds_at, self.tries = error, succeeds_at, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries == self.succeeds_at:
            return "result"
        raise self.error


@pytest.mark.usefixtures("without_pauses")
def test_a_store_that_is_well_again_is_waited_for() -> None:
    operation = Operation(THROTTLED, succeeds_at=7)
    assert healed(operation, "s3://b/x", 60) == "result"
    assert operation.tries == 7


@pytest.mark.usefixtures("without_pauses")
def test_a_store_that_fails_for_too_long_is_named_with_what_it_said_and_what_to_do() -> None:
    error = raised_from(StorageError("x is no whole part; delete it"), THROTTLED)
    operation = Operation(error)
    with pytest.raises(StoreGoneError) as gone:
        healed(operation, "s3://b/x", timeout_s=1e-9)
    assert operation.tries == LEAST_TRIES
    assert str(gone.value) == (
        f"s3://b/x: the object store fails; tried {LEAST_TRIES} times over 0 s, at last: {THROTTLED}. "
        "When the store is well again, run the same command to go on"
    )


@pytest.mark.usefixtures("without_pauses")
def test_what_an_inner_part_has_waited_for_is_not_waited_for_again() -> None:
    inner = Operation(THROTTLED)
    with pytest.raises(StoreGoneError, match=f"^inner: .* {LEAST_TRIES} times"):
        healed(lambda: healed(inner, "inner", timeout_s=1e-9), "outer", timeout_s=60)
    assert inner.tries == LEAST_TRIES


@pytest.mark.parametrize("error", [FileNotFoundError("x"), pa.ArrowInvalid("no Parquet"), StorageError("no bucket")])
def test_what_does_not_heal_passes_at_once(error: Exception) -> None:
    operation = Operation(error)
    with pytest.raises(type(error)):
        healed(operation, "s3://b/x", 60)
    assert operation.tries == 1


def test_without_a_timeout_nothing_is_tried_again() -> None:
    operation = Operation(THROTTLED)
    with pytest.raises(OSError, match="SLOW_DOWN"):
        healed(operation, "s3://b/x", timeout_s=0)
    assert operation.tries == 1


def test_of_an_answer_that_repeats_what_was_signed_only_code_and_message_are_said() -> None:
    signed = "<CanonicalRequest>GET\nx-amz-security-token:s3cr3t</CanonicalRequest></Error>"
    answer = XML.format("SignatureDoesNotMatch", "The signature differs.").replace("</Error>", signed)
    said = shortened(GenericError(ANSWERED.format(f"403 Forbidden: {answer}\n\nDebug source:\nGeneric s3cr3t")))
    assert said.endswith("403 Forbidden: SignatureDoesNotMatch: The signature differs.")
    assert "s3cr3t" not in said
    assert "AKIAX" not in said
