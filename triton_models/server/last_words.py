"""Why a server ended by itself, as far as its log tells."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from triton_models.backends.onnxruntime.lifeline import GIVEN_UP

ABORTED = "boost::interprocess::lock_exception"
"""With it a Triton before 25.08 aborts where the process of a model, that loads or answers, gives no sign of life for a
second: the Python backend takes it for dead and clears up what it uses. It lives, and only waits for a processor.
"""
STARVED = (ABORTED, GIVEN_UP)
"""With the second our process in the embedded server ends it before it comes to that."""

_NO_PROCESSOR = (
    "the process of a model got no processor for a second, which this Triton takes for its death, and it cannot go on "
    "after that: the machine is too busy"
)
# Triton complains about the absence of a GPU in the words of errors.
_HARMLESS = re.compile(r"CudaDriverHelper|NVML|DCGM|pinned|failed to load all models")
_ERROR = re.compile(r"E\d{4} |error: |Error: |.*[Ee]rror:")
_TAIL_BYTES = 64 * 1024


def starved(log_file: Path, start: int = 0) -> bool:
    """Whether a server ended because it got no processor; its own lines begin at byte `start`."""
    return any(sign in line for line in _lines(log_file, start) for sign in STARVED)


def last_words(status: int, log_file: Path, start: int = 0) -> str:
    """What is to be said of the end of a server with this exit status, which is 128 + the signal that killed it."""
    if starved(log_file, start):
        return _NO_PROCESSOR
    lines = _lines(log_file, start)
    told = [line.partition("] ")[2] or line for line in lines if _ERROR.match(line)]
    told = [line.strip('"') for line in told if not _HARMLESS.search(line)][-3:]
    return "; ".join(told) or _of_status(status)


def _of_status(status: int) -> str:
    try:
        return f"exit status {status}, killed by {signal.Signals(status - 128).name}"
    except ValueError:
        return f"exit status {status}"


def _lines(log_file: Path, start: int) -> list[str]:
    with log_file.open("rb") as log:
        log.seek(max(start, log_file.stat().st_size - _TAIL_BYTES))
        return log.read().decode(errors="replace").splitlines()
