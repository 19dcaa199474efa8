from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ray_pipeline.errors import JobFileError, OutputError
from rayton import EXTRAS, app
from tests.support.committed import CommittedJob
from triton_models.storage import open_storage

JOB = """
[input]
uri = "{folder}/in"
keep = ["id"]
rows_per_chunk = 4

[[models]]
name = "words"
inputs = {{ text = "body" }}
outputs = {{ y = "y" }}

[output]
uri = "{folder}/out"

[triton]
url = "localhost:8001"
"""


@pytest.fixture
def job(tmp_path: Path) -> CommittedJob:
    return CommittedJob(open_storage(str(tmp_path / "out")))


def run(*words: object) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("command", "told", "extra"),
    [
        ("score", ["JOB.toml", "--ray-address", "--refresh", "--rescore-changed", "--retry-rejected"], "score"),
        ("plan", ["JOB.toml", "Starts and writes nothing"], "score"),
        ("status", ["OUTPUT", "--endpoint-url", "AWS_ENDPOINT_URL"], "score"),
        ("report", ["OUTPUT", "--html", "--price-per-node-hour", "--endpoint-url", "AWS_ENDPOINT_URL"], "report"),
        ("verify", ["OUTPUT", "--endpoint-url", "AWS_ENDPOINT_URL"], "score"),
    ],
)
def test_every_command_says_what_it_takes(command: str, told: list[str], extra: str) -> None:
    page = run(command, "--help")
    assert [one for one in told if one not in page] == []
    assert EXTRAS[command] == extra


def test_plan_says_what_score_would_do(tmp_path: Path) -> None:
    open_storage(str(tmp_path)).write("in/a.jsonl", b'{"id": 1, "body": "x"}\n' * 9)
    (tmp_path / "job.toml").write_text(JOB.format(folder=tmp_path))
    lines = run("plan", tmp_path / "job.toml").splitlines()
    assert lines == [
        f"input   {tmp_path}/in: 9 rows in 3 chunks, 0.0 MB",
        f"output  {tmp_path}/out",
        "done    0 chunks with 0 rows (0.0%)",
        "left    3 chunks with 9 rows, how long that takes is not known before some are scored",
    ]
    assert not (tmp_path / "out").exists()


def test_plan_tells_mistakes_of_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(JOB.format(folder=tmp_path).replace("keep", "keeep"))
    with pytest.raises(JobFileError, match=r"input\.keeep: unknown key; did you mean 'keep'\?"):
        run("plan", tmp_path / "job.toml")


def test_status_says_how_far_a_job_is(job: CommittedJob) -> None:
    job.begin()
    job.commit([0, 1])
    assert "done    2 chunks with 8 rows (80.0%)" in run("status", job.output.uri)


def test_verify_says_that_all_is_there_or_what_is_not(job: CommittedJob) -> None:
    job.complete()
    assert run("verify", job.output.uri).strip().endswith("3 parts with 10 rows are there, unchanged, and add up")
    job.output.delete(job.data(0))
    with pytest.raises(OutputError, match="1 of 3 parts are not what the job wrote"):
        run("verify", job.output.uri)
