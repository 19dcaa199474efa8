"""Jobs that are run again: for new and changed objects, for rejected rows, beside another run, after one that died."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.command import run_rayton
from tests.support.jobs import (
    await_family,
    await_part,
    failing_score,
    rejected_rows,
    score,
    start_score,
    totals,
    write_job,
)
from tests.support.leftovers import descendants
from tests.support.sums import MODEL, check_sums, numbers, publish_affine, write_numbers
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime


@pytest.fixture(scope="module")
def triton(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("affine")
    options = ServerOptions(repository=publish_affine(folder), log_file=folder / "triton.log")
    with NodeServer.start(runtime, options) as server:
        yield {"url": server.grpc_url, "repository": options.repository}


@pytest.fixture
def job(tmp_path: Path, triton: dict[str, object]) -> Path:
    return write_job(tmp_path / "job.toml", input=tmp_path / "in", output=tmp_path / "out", triton=triton, model=MODEL)


def test_a_nightly_run_scores_what_is_new_and_replaces_what_changed(home: Path, job: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    write_numbers(folder / "day=1" / "a.parquet", range(250))
    write_numbers(folder / "day=1" / "b.parquet", range(250, 280))
    write_numbers(folder / "day=1" / "c.parquet", range(280, 300))
    score(job, home)
    check_sums(output, range(300))
    first = {path.name: path.stat().st_mtime_ns for path in output.glob("data/*")}

    write_numbers(folder / "day=2" / "d.parquet", range(300, 340))
    assert "the job was complete before" in score(job, home)
    assert "1 new, 0 changed, 0 vanished objects" in score(job, home, "--refresh")
    check_sums(output, range(340))
    assert first.items() <= {path.name: path.stat().st_mtime_ns for path in output.glob("data/*")}.items()

    write_numbers(folder / "day=1" / "b.parquet", range(1000, 1040))
    (folder / "day=2" / "d.parquet").unlink()
    message = failing_score(job, home, "--refresh")
    assert f"1 objects of {folder} have changed since they were planned: day=1/b.parquet" in message
    check_sums(output, range(340))
    printed = score(job, home, "--rescore-changed")
    assert "0 new, 1 changed, 1 vanished objects" in printed
    assert "vanished: day=2/d.parquet" in printed
    check_sums(output, [*range(250), *range(280, 340), *range(1000, 1040)])

    ended = run_rayton(home, "verify", str(output))
    assert "parts with 350 rows are there, unchanged, and add up" in ended.stdout
    # Of an object that is still there: what has vanished cannot be scored again.
    (part,) = (path for path in output.glob("data/*.parquet") if 0 in pq.read_table(path)["id"].to_pylist())
    pq.write_table(pq.read_table(part).slice(1), part)
    ended = run_rayton(home, "verify", str(output))
    assert ended.returncode == 1
    assert f"data/{part.name}: its content is not what was written" in ended.stderr
    part.unlink()
    (output / "_SUCCESS").unlink()
    assert "4 chunks are committed, 1 with 100 rows are left" in score(job, home)
    check_sums(output, [*range(250), *range(280, 340), *range(1000, 1040)])


def test_rejected_rows_are_counted_against_the_limit_and_scored_again_when_asked(
    home: Path, tmp_path: Path, triton: dict[str, object]
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    good = numbers(range(300))
    holes = pa.array([None if row in (7, 150, 151) else x for row, x in enumerate(good["x"].to_pylist())])
    pq.write_table(pa.table({"id": good["id"], "x": holes.cast(pa.list_(pa.float32()))}), folder / "a.parquet")
    job = write_job(tmp_path / "job.toml", input=folder, output=output, triton=triton, model=MODEL)
    strict = tmp_path / "strict.toml"
    strict.write_text(re.sub(r"(\[output\]\n)", r"\1max_rejected = 0.005\n", job.read_text()))

    message = failing_score(strict, home)
    assert re.search(r"\d of 300 rows are rejected, more than output.max_rejected = 0.005 allows", message)
    assert not (output / "_SUCCESS").exists()
    score(job, home)
    assert totals(str(output)) == {"rows": 300, "scored": 297, "rejected": 3, "parts": 3}
    assert [(row["row"], row["stage"], row["error"]) for row in rejected_rows(str(output))] == [
        (7, "prepare", "NullValue"),
        (150, "prepare", "NullValue"),
        (151, "prepare", "NullValue"),
    ]
    untouched = {path: path.stat().st_mtime_ns for path in output.glob("data/*")}
    assert "retry   3 rejected rows of 2 chunks are scored again" in score(job, home, "--retry-rejected")
    assert totals(str(output)) == {"rows": 300, "scored": 297, "rejected": 3, "parts": 3}
    assert {path: path.stat().st_mtime_ns for path in output.glob("data/*")} == untouched


def test_a_second_run_is_refused_and_one_that_died_does_not_block(home: Path, job: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    write_numbers(tmp_path / "in" / "a.parquet", range(3000))
    process = start_score(job, home)
    with process:
        await_part(process, output)
        os.killpg(process.pid, signal.SIGSTOP)
        message = failing_score(job, home)
        assert f"another run of this job works on it (process {process.pid} on " in message
        assert "a run is working on it" in run_rayton(home, "status", str(output)).stdout
        family = descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert "the run that worked on it is dead" in run_rayton(home, "status", str(output)).stdout

    assert "chunks are committed" in score(job, home)
    check_sums(output, range(3000))
    assert "the job is complete" in run_rayton(home, "status", str(output)).stdout
    assert list((output / "_lock").iterdir()) == []
    await_family(family)
