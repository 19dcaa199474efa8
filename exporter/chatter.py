"""Libraries that talk while they work: what they say is kept, and shown only when something fails."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collects prints, warnings and log lines of this block instead of letting them reach the terminal."""
    heard = io.StringIO()
    loud = [(handler, handler.stream) for handler in _handlers() if handler.stream in (sys.stdout, sys.stderr)]
    for handler, _ in loud:
        handler.setStream(heard)
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard), warnings.catch_warnings():
            # Written down instead of raised or recorded, whatever the surrounding program does with warnings.
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, category, filename, lineno, file=None, line=None: print(
                warnings.formatwarning(message, category, filename, lineno, line), end="", file=heard
            )
            yield heard
    finally:
        for handler, stream in loud:
            handler.setStream(stream)


def _handlers() -> list[logging.StreamHandler[io.TextIOBase]]:
    """Handlers keep the stream that they were made with, so redirecting `sys.stderr` alone does not reach them."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    found = {handler for logger in loggers for handler in logger.handlers}
    return [
        handler
        for handler in found
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
