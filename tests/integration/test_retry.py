"""`--retry-rejected` with a model that comes to its senses: only rejected rows are asked again, killed or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.command import run_rayton, start_rayton
from tests.support.counts import settled_total
from tests.support.jobs import await_family, kill_when, rejected_rows, score, scored_rows, totals
from tests.support.served_models import AFFINE, ONE_CPU, write_python_version
from tests.support.sums import check_sums, publish_affine, write_sums_job
from tests.support.triton import start
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

ROWS, ROWS_PER_CHUNK = 800, 40

MOODY = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            time.sleep(0.05)
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            total = x.sum(axis=1, keepdims=True)
            with open("DISLIKED") as file:
                total[np.isin(x[:, 0], [int(line) for line in file])] = np.nan
            tensors = [pb_utils.Tensor("scaled", x + x), pb_utils.Tensor("total", total)]
            answers.append(pb_utils.InferenceResponse(tensors))
        return answers
"""
"""`affine` as a program that takes its time, and has no answer for rows whose first number is in a file."""


@dataclass(frozen=True)
class Moody:
    """A server with that model, the repository with its card, and the file."""

    server: NodeServer
    repository: Path
    disliked: Path

    def dislike(self, *ids: int) -> None:
        """The rows with these ids, and no others, have no answer from now on."""
        self.disliked.write_text("".join(f"{one}\n" for one in ids))

    def asked(self) -> float:
        """How many rows it was asked since it started."""
        return settled_total(self.server.metrics_url, model="affine")


@pytest.fixture(scope="module")
def moody(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moody]:
    folder = tmp_path_factory.mktemp("moody")
    disliked = folder / "disliked"
    disliked.touch()
    code = MOODY.replace("DISLIKED", str(disliked))
    write_python_version(folder / "programs", "affine", code, f"max_batch_size: 64\n{AFFINE}{ONE_CPU}")
    with start(runtime, folder / "programs") as server:
        yield Moody(server, publish_affine(folder), disliked)


@pytest.fixture
def job(tmp_path: Path, moody: Moody) -> Path:
    triton: dict[str, object] = {"url": moody.server.grpc_url, "repository": moody.repository}
    return write_sums_job(tmp_path, ROWS, triton, rows_per_chunk=ROWS_PER_CHUNK)


def test_rejected_rows_alone_are_asked_again_and_come_back_in_their_place(
    home: Path, job: Path, tmp_path: Path, moody: Moody
) -> None:
    output = tmp_path / "out"
    moody.dislike(3, 5, 39, 41, 799)
    score(job, home)
    assert totals(str(output)) == {"rows": ROWS, "scored": ROWS - 5, "rejected": 5, "parts": ROWS // ROWS_PER_CHUNK}
    first = committed(output)

    moody.dislike(5, 799)
    before = moody.asked()
    printed = score(job, home, "--retry-rejected")
    assert "retry   5 rejected rows of 3 chunks are scored again" in printed
    assert moody.asked() - before == 5
    check_sums(output, sorted({*range(ROWS)} - {5, 799}))
    assert [row["row"] for row in rejected_rows(str(output))] == [5, 799]
    for part in committed(output):
        ids = pq.read_table(output / "data" / part)["id"].to_pylist()
        assert ids == sorted(ids)
    assert len(dict(first.items() - committed(output).items())) == 2


def test_killed_in_the_middle_it_loses_and_doubles_no_row(home: Path, job: Path, tmp_path: Path, moody: Moody) -> None:
    output = tmp_path / "out"
    disliked = [row for row in range(ROWS) if row % 10 in (1, 2)]
    moody.dislike(*disliked)
    score(job, home)
    assert totals(str(output))["rejected"] == len(disliked)
    first = committed(output)

    moody.dislike(*(row for row in disliked if row % 10 == 2))
    retry = start_rayton(home, "score", str(job), "--retry-rejected")
    family = kill_when(retry, lambda: len(committed(output).items() - first.items()) >= 3)
    assert not (output / "_SUCCESS").exists()

    score(job, home)
    scored = set(scored_rows(str(output))["id"].to_pylist())
    rejected = {row["row"] for row in rejected_rows(str(output))}
    check_sums(output, scored)
    assert (scored | rejected, scored & rejected) == (set(range(ROWS)), set())
    assert 0 < len(rejected - {row for row in rejected if row % 10 == 2}) < len(disliked) / 2

    moody.dislike()
    before = moody.asked()
    score(job, home, "--retry-rejected")
    assert moody.asked() - before == len(rejected)
    check_sums(output, range(ROWS))
    assert list(output.glob("rejected/*")) == []
    assert "are there, unchanged, and add up" in run_rayton(home, "verify", str(output)).stdout
    await_family(family)


def committed(output: Path) -> dict[str, int]:
    """The data parts that are there, and when each was written."""
    found = {}
    for path in output.glob("data/part-*.parquet"):
        with suppress(FileNotFoundError):  # taken away since
            found[path.name] = path.stat().st_mtime_ns
    return found
