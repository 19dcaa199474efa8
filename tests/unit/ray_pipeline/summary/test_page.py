"""What is in the page. How it looks in a browser is seen in `tests/integration/test_report_page.py`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_pipeline.summary.folder import JobSeen, RejectedRow, read_job, rejects_of
from ray_pipeline.summary.page import MOST_KINDS, MOST_RUNS, difference_of, page_of, state_of
from ray_pipeline.summary.recorded import Counted, Recorded
from tests.support.committed import CommittedJob
from tests.support.pages import BEGAN_S, committed, page, run
from tests.support.records import record_of
from triton_models.storage import open_storage

HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> JobSeen:
    job = CommittedJob(open_storage(str(tmp_path_factory.mktemp("job") / "out")))
    job.complete()
    return read_job(job.output.uri, None)


def seen(job: JobSeen, recorded: Recorded, **changes: Any) -> JobSeen:
    """A job with another record, which knows of three parts with 9 scored rows and a rejected one."""
    return replace(job, recorded=recorded, told=Counted(3, 9, 1), **changes)


def words_of(html: str) -> str:
    """What a person reads."""
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL))


def test_a_job_without_a_record_tells_what_its_folder_counts(complete: JobSeen) -> None:
    html = page_of(complete)
    words = words_of(html)
    assert "There is no record of how this job has gone" in words
    assert "out complete" in words
    assert "rows 10 of 10, 100.0% scored 9 rejected 1" in words
    assert "words, version 3" in words
    assert "Counted in 1 parts that were read." in words
    assert "read: NotJson 1 bad a.parquet, row 4" in words
    assert 'class="chart"' not in html.partition("<script")[0]
    assert "cost" not in words


def test_a_job_with_a_record_tells_all(complete: JobSeen) -> None:
    html = page_of(seen(complete, record_of(chunks=20, seconds=100.0)), 1.8)
    words = words_of(html)
    assert "The record tells" not in words
    assert "ended without a word" in words
    assert "ended well" in words
    assert "cost estimate 0.10 5.00 for a million rows" in words
    assert "0.05556 node hours" in words
    for name in ("rates", "stages", "latencies", "batch-rows", "limits", "limit-seconds", "canaries"):
        assert f'id="chart-{name}"' in html
    assert len(html) < 1_500_000


def test_nothing_that_a_job_says_becomes_part_of_the_page(complete: JobSeen) -> None:
    first = run(nodes=(HOSTILE,))
    recorded = Recorded(
        [page(first, 9, committed("a", node=HOSTILE, rejections={f"read: {HOSTILE}": 1}), over=True, error=HOSTILE)]
    )
    hostile = seen(
        complete,
        recorded,
        uri=f"/data/{HOSTILE}",
        claim=complete.claim | {"models": [{"name": HOSTILE, "version": HOSTILE}]},
        rejects=rejects_of(Counter(), [(f"read: {HOSTILE}", RejectedRow(HOSTILE, 1, HOSTILE))]),
    )
    html = page_of(hostile)
    shown = html.partition("<script")[0]
    assert shown.count("&lt;/script&gt;&lt;script&gt;alert(") == 8
    assert "<img" not in shown
    charts, themes, *ours = page_scripts(html)
    assert "<" not in charts + themes
    assert ours == page_scripts(page_of(complete))[2:]


def test_only_its_own_scripts_may_run_and_nothing_may_be_fetched(complete: JobSeen) -> None:
    html = page_of(complete)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; ")
    assert policy.count("sha256-") == 2
    assert "unsafe-eval" not in policy
    assert re.findall(r'(?:src|href)="(?!data:,)', html.partition("<script")[0]) == []


def test_what_is_too_long_or_too_much_is_cut(complete: JobSeen) -> None:
    runs = [page(run(number, BEGAN_S + 100 * number), 9, error="e" * 5000, over=True) for number in range(60)]
    rows = [(f"read: Kind{number}", RejectedRow("o" * 5000, 1, "r" * 5000)) for number in range(40)]
    html = page_of(seen(complete, Recorded(runs), rejects=rejects_of(Counter(), rows)))
    words = words_of(html)
    assert f"The last {MOST_RUNS} of 60." in words
    assert f"The {MOST_KINDS} most frequent of 40 kinds." in words
    assert max(map(len, words.split())) == 600


def test_a_difference_between_folder_and_record_is_told(complete: JobSeen) -> None:
    recorded = record_of(chunks=20, seconds=100.0)
    assert difference_of(seen(complete, recorded)) is None
    lost = difference_of(replace(seen(complete, recorded), told=Counted(2, 5, 1)))
    assert lost is not None
    assert lost.startswith(
        "The record tells of 2 parts with 5 scored and 1 rejected rows, the folder holds 3 parts with 9 scored and 1 "
        "rejected rows: a run that is killed loses its last page"
    )


def ended(error: str | None) -> Recorded:
    return Recorded([page(run(), 9, over=True, error=error)])


@pytest.mark.parametrize(
    ("recorded", "is_complete", "is_running", "state"),
    [
        (lambda: ended(None), True, False, "complete"),
        (lambda: ended("no room"), False, True, "running"),
        (lambda: ended("no room"), False, False, "failed"),
        (lambda: Recorded([page(run(), 9)]), False, False, "stopped"),
        (Recorded, False, False, "stopped"),
    ],
)
def test_a_job_is_complete_running_failed_or_stopped(
    complete: JobSeen, recorded: Callable[[], Recorded], is_complete: bool, is_running: bool, state: str
) -> None:
    progress = replace(complete.progress, is_complete=is_complete, is_running=is_running)
    assert state_of(seen(complete, recorded(), progress=progress)) == state


def page_scripts(html: str) -> list[str]:
    """The contents of the scripts, as a browser takes them."""
    return re.findall(r"<script[^>]*>(.*?)</script", html, flags=re.DOTALL | re.IGNORECASE)


def test_the_page_of_a_running_job_says_when_it_was_heard_of(complete: JobSeen, tmp_path: Path) -> None:
    recorded = Recorded([page(run(), 9, committed("a"))])
    progress = replace(complete.progress, is_complete=False, is_running=True, runs="a run is working on it: process 7")
    words = words_of(page_of(seen(complete, recorded, progress=progress, at_s=BEGAN_S + 11)))
    assert "it runs; heard of 2 s ago" in words
    assert "now a run is working on it: process 7" in words
