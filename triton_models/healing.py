"""Which failures of an object store heal by themselves, and doing again what failed so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import stamina

from triton_models.errors import StoreGoneError

TIMEOUT_S = 120.0
"""How long a store that fails is waited for, unless a job says otherwise."""

LEAST_TRIES = 3
"""So often a thing is tried however long each try takes: reading a large object may last longer than any timeout."""

_Result = TypeVar("_Result")
_LONGEST_PAUSE_S = 5.0

_HEAL = re.compile(
    r"AWS Error (SLOW_DOWN|THROTTLING|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT)\b"
    # An upload that was completed, or given up, by a request whose answer was lost: a new one can take its place.
    r"|AWS Error NO_SUCH_UPLOAD\b|<Code>NoSuchUpload</Code>"
    # The answer to a HEAD has no body that could tell more.
    r"|AWS Error UNKNOWN \(HTTP status (408|429|500|502|503|504|509)\)"
    # Of curl: no such host (for now), refused, broken off in various ways, timed out. Not: no valid address, a wrong
    # certificate.
    r"|AWS Error NETWORK_CONNECTION .*curlCode: (6|7|16|18|28|52|55|56|92)\b"
    r"|AWS Error NETWORK_CONNECTION .*curlCode: 35\b.*([Rr]eset|eof|SYSCALL)"
    r"|google::cloud::Status\((UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|INTERNAL|ABORTED)\b"
    r"|non-2xx status code: (408|429|500|502|503|504|509)\b"
    r"|HTTP error: (error sending request|request or response body error|error decoding response)(?!.*certificate)",
    re.DOTALL,
)
"""What Arrow and obstore say, which is all that tells one failure from another."""


def can_heal(error: BaseException) -> bool:
    """Whether the same request may succeed later: the store throttles, fails, is slow, or a connection broke.

    Not if the store has answered that it will not (no right, no bucket, no file), nor for content that is broken, nor
    for what was tried long enough. An error that was raised from one that can heal can heal too.
    """
    return _failure(error) is not None


def healed(operation: Callable[[], _Result], what: str, timeout_s: float) -> _Result:
    """Does a whole operation again, with growing, jittered pauses, while it fails in a way that can heal.

    Raises StoreGoneError, naming `what`, when that has lasted for `timeout_s` since the first failure. Other errors
    pass through at once; all do with a timeout of 0, for who has something else to go on with.
    """
    began = time.monotonic()
    try:
        return operation()
    except Exception as error:
        if timeout_s == 0 or not can_heal(error):
            raise
        first = error
    tries = 0
    first_failure: float | None = None

    def is_worth_another_try(error: Exception) -> bool:
        nonlocal first_failure
        first_failure = first_failure or time.monotonic()
        return can_heal(error) and (tries < LEAST_TRIES or time.monotonic() - first_failure < timeout_s)

    try:
        for again in stamina.retry_context(
            on=is_worth_another_try, attempts=None, timeout=None, wait_max=_LONGEST_PAUSE_S
        ):
            with again:
                tries += 1
                if tries == 1:
                    # It was made before: to get ready for others costs more than reading a small file.
                    raise first
                return operation()
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            raise
        raise StoreGoneError(
            f"{what}: the object store fails; tried {tries} times over {time.monotonic() - began:.0f} s, at last: "
            f"{shortened(failure)}. When the store is well again, run the same command to go on"
        ) from error
    raise AssertionError("stamina ends by returning or raising")


def shortened(error: BaseException) -> str:
    """What an error of a store says, on one line, without what a library adds for its own authors.

    Of an answer in XML only code and message are left: the rest may repeat what was signed, even a session token.
    """
    text = str(error).partition("\n\nDebug source")[0]
    return " ".join(_XML.sub(_code_and_message, text).split())


_XML = re.compile(r"(<\?xml[^>]*>\s*)?<Error\b.*?(</Error>|\Z)", re.DOTALL)


def _code_and_message(answer: re.Match[str]) -> str:
    found = (re.search(f"<{name}>(.*?)</{name}>", answer[0], re.DOTALL) for name in ("Code", "Message"))
    return ": ".join(one[1] for one in found if one)


def _failure(error: BaseException) -> BaseException | None:
    """The failure of a store, of those that can heal, from which an error was raised."""
    for one in _causes(error):
        if isinstance(one, (StoreGoneError, FileNotFoundError)):
            return None
        if _is_of_a_store(one) and _HEAL.search(str(one)):
            return one
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_of_a_store(error: BaseException) -> bool:
    return isinstance(error, OSError) or type(error).__module__ == "obstore.exceptions"
