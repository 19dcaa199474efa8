"""How far back a job stands, in sessions of their own: the one of the tests stays where it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from triton_models.server.keeper import AUTOGROUP

pytestmark = pytest.mark.skipif(not AUTOGROUP.exists(), reason="the kernel does not group processes by session")


def seen(*words: str) -> list[str]:
    """What a new session prints."""
    start = "import os; from ray_pipeline.background import *; os.setsid()"
    command = [sys.executable, "-c", "\n".join([start, *words])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_job_stands_behind_users_and_not_so_far_behind_other_jobs() -> None:
    words = ["with stepped_back():", " print(autogroup())"]
    for online in (True, False):
        words += [f" stand_back(users_online={online})", " print(autogroup())"]
    assert seen(*words, "print(autogroup())") == ["10", "19", "10", "0"]


def test_who_has_not_stepped_back_stays_where_it_is() -> None:
    assert seen("stand_back(users_online=True)", "print(autogroup())") == ["0"]
