from __future__ import annotations

import logging
import sys
import warnings

import pytest

from exporter.chatter import captured


def test_prints_logs_and_warnings_are_heard_and_not_seen(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("exporter.tests.chatter")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        with captured() as heard:
            print("a print")
            logger.warning("a log line")
            warnings.warn("a warning", stacklevel=1)
        logger.warning("afterwards")
    finally:
        logger.removeHandler(handler)

    assert all(words in heard.getvalue() for words in ("a print", "a log line", "a warning"))
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "afterwards\n")
