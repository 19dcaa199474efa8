"""What `rayton watch` shows; beside real runs it is in tests/integration/test_watch.py."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ray_pipeline.output.lock import locked
from ray_pipeline.output.steering import steer
from ray_pipeline.watching import watch
from tests.support.committed import CommittedJob
from triton_models.storage import open_storage


@pytest.mark.parametrize("terminal", [False, True])
def test_a_paused_job_is_told_to_be_paused_though_it_commits_nothing(tmp_path: Path, *, terminal: bool) -> None:
    job, printed = CommittedJob(open_storage(str(tmp_path / "out"))), StringIO()
    job.begin()
    job.commit([0])
    console = Console(file=printed, force_terminal=terminal, width=300)
    seen: list[str] = []

    def between_looks(_: float) -> None:
        seen.append(printed.getvalue())
        if len(seen) == 1:
            steer(job.output.uri, None, paused=True)
        elif len(seen) == 2:
            steer(job.output.uri, None, paused=False)
            job.commit_all()

    with locked(job.output):
        assert watch(job.output.uri, None, console, between_looks).rows == 10
    told = f"by hand paused; `rayton resume {job.output.uri}` lets it go on"
    assert [told in one for one in seen] == [False, True]
    assert printed.getvalue().count(told) == 1
