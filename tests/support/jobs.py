"""Job files for tests, and `rayton score` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from tests.support.command import run_rayton, start_rayton
from tests.support.leftovers import await_end, command, descendants
from triton_models.storage import open_storage

RAY_WORKER_GIVES_UP_S = 90.0
"""A Ray worker that is killed off its raylet while it starts looks for it for half a minute; others end at once."""

JOB = """\
[input]
uri = "{input}"
keep = ["id"]
rows_per_chunk = {rows_per_chunk}

[[models]]
{model}

[output]
uri = "{output}"

[triton]
timeout_s = {timeout_s}
{triton}

{sharing}

{storage}
"""


MINILM = """\
name = "minilm"
inputs  = { text = "body" }
outputs = { sentence_embedding = "embedding" }"""


def write_job(
    path: Path,
    *,
    input: object,
    output: object,
    triton: dict[str, object],
    model: str = MINILM,
    rows_per_chunk: int = 100,
    timeout_s: float = 10,
    endpoint_url: str | None = None,
    store_timeout_s: float = 120,
    sharing: dict[str, object] | None = None,
) -> Path:
    """Writes the job file that the README explains; gives its path."""
    storage = f'[storage]\nendpoint_url = "{endpoint_url}"\ntimeout_s = {store_timeout_s}' if endpoint_url else ""
    lines = _lines(triton)
    sharing_section = f"[sharing]\n{_lines(sharing)}" if sharing else ""
    path.write_text(
        JOB.format(
            input=input,
            output=output,
            triton=lines,
            model=model,
            rows_per_chunk=rows_per_chunk,
            timeout_s=timeout_s,
            sharing=sharing_section,
            storage=storage,
        )
    )
    return path


def _lines(section: dict[str, object]) -> str:
    return "\n".join(f"{key} = {json.dumps(value, default=str)}" for key, value in section.items())


def start_score(job: Path, home: Path, *options: str) -> subprocess.Popen[str]:
    """`rayton score` in a process group of its own."""
    return start_rayton(home, "score", str(job), *options)


def score(job: Path, home: Path, *options: str) -> str:
    """Runs a job to its end; gives what it printed. Fails the test if the job failed."""
    ended = run_rayton(home, "score", str(job), *options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def failing_score(job: Path, home: Path, *options: str) -> str:
    """Runs a job that must fail with a message for people; gives the message."""
    ended = run_rayton(home, "score", str(job), *options)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def await_part(process: subprocess.Popen[str], output: Path) -> None:
    """Waits until the first part of a running job is there."""
    poll = threading.Event()
    while process.poll() is None and not any(output.glob("data/part-*.parquet")):
        poll.wait(0.02)
    assert process.poll() is None, "the job ended too early"


def kill_when(process: subprocess.Popen[str], it_is_time: Callable[[], bool]) -> set[int]:
    """Kills the whole process group of a running job as soon as it is time; gives what was below, to be awaited."""
    with process:
        poll = threading.Event()
        while process.poll() is None and not it_is_time():
            poll.wait(0.01)
        assert process.poll() is None, "the job ended before it could be killed"
        family = descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return family


def await_family(family: set[int]) -> None:
    """Waits until all that was below a killed job has ended by itself."""
    assert [command(pid) for pid in await_end(family, RAY_WORKER_GIVES_UP_S)] == []


def scored_rows(output: str, endpoint_url: str | None = None) -> pa.Table:
    """All rows of the data parts, sorted by id."""
    storage = open_storage(f"{output}/data", endpoint_url)
    table = ds.dataset(storage.root, filesystem=storage.filesystem, format="parquet").to_table()
    return table.sort_by("id").replace_schema_metadata(None)


def rejected_rows(output: str) -> list[dict[str, Any]]:
    """All rows of the rejected parts, by object and row."""
    rows: list[dict[str, Any]] = ds.dataset(f"{output}/rejected", format="parquet").to_table().to_pylist()
    return sorted(rows, key=lambda row: (row["object"], row["row"]))


def totals(output: str) -> dict[str, int]:
    """The counts in `_SUCCESS`."""
    found: dict[str, int] = json.loads(Path(output, "_SUCCESS").read_text())["totals"]
    return found
