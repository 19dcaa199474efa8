"""Where Ctrl-C changes nothing; what it does to a job is tested on real ones."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from ray_pipeline.interrupt import handlers_kept, interruptible


@pytest.fixture(autouse=True)
def handler_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said: list[str] = []
    with interruptible(said.append):
        signal.raise_signal(signal.SIGINT)
    assert said == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_errors_pass_through_and_the_program_is_as_before() -> None:
    said: list[str] = []
    with pytest.raises(ValueError, match="of the job"), interruptible(said.append):
        raise ValueError("of the job")
    assert said == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_are_kept_through_a_start_that_fails() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="late"):
        late_start()
    assert signal.getsignal(signal.SIGTERM) is before


def late_start() -> None:
    with handlers_kept():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ValueError("late")
