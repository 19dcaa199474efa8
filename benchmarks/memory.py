"""What a job costs in memory, and that ten times the rows cost no more: every process of `rayton score`, by kind.

A small network reads 256 numbers a row, so that data and not the model fill the memory. The job starts a server of its
own; the driver, Ray's processes, its object store, the actors, Triton and its stub are looked at five times a second.
Ray's object store is bounded, alike in both jobs: without one Ray takes 30 % of the machine and reads ahead into
it. The smaller job is large enough to fill what it may. Writes JSON and prints a table.

    python -m benchmarks.memory
    python -m benchmarks.memory --rows 20000 --rows-per-chunk 1000      # a quick look
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.measure import ROOT, environment, home, module, save, write_job
from benchmarks.processes import ALL, watched
from exporter.export import export
from exporter.spec import ExportSpec
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

WIDTH, TIMES = 256, 10
FILES = 4
GOAL = 1.1
SMALL = 32e6
"""Bytes below which a kind of process is shown but not judged: a few pages more would look like a leak."""

MODEL = 'name = "small"\ninputs = { input = "row" }\noutputs = { output = "class" }'


@dataclass(frozen=True)
class Job:
    """A job that has ended: its seconds, and the most bytes and processes of each kind at once."""

    rows: int
    seconds: float
    peaks: dict[str, int]
    processes: dict[str, int]


def small() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """What `rayton export` is given: two layers of random weights."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(WIDTH, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    return layers.eval(), (torch.randn(2, WIDTH),)


def main(
    rows: Annotated[int, typer.Option(help="Rows of the smaller job.")] = 100_000,
    rows_per_chunk: Annotated[int, typer.Option()] = 4096,
    object_store_mb: Annotated[int, typer.Option(help="The bound of Ray's object store.")] = 128,
) -> None:
    """Runs both jobs, compares, reports."""
    ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository = open_storage(str(folder / "models"))
        export(ExportSpec(f"{__file__}:small", "small", repository.uri), repository)
        write_rows(folder / "rows-1", rows)
        write_rows_again(folder / "rows-1", folder / f"rows-{TIMES}")
        jobs = [ran(folder, times, rows * times, rows_per_chunk, object_store_mb) for times in (1, TIMES)]
    what = {
        "what": f"peak bytes (PSS) of rayton score, rows of {WIDTH} numbers",
        "rows_per_chunk": rows_per_chunk,
        "object_store_mb": object_store_mb,
        "jobs": [asdict(job) for job in jobs],
        "ratio": {kind: jobs[1].peaks.get(kind, 0) / size for kind, size in jobs[0].peaks.items() if size},
        "goal": GOAL,
    }
    save("memory", what)
    show(*jobs)


def write_rows(folder: Path, rows: int) -> None:
    """Some Parquet files with `id` and `row`."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for file in range(FILES):
        ids = np.arange(file * rows // FILES, (file + 1) * rows // FILES)
        numbers = pa.array(random.standard_normal(len(ids) * WIDTH, np.float32))
        table = pa.table({"id": ids, "row": pa.FixedSizeListArray.from_arrays(numbers, WIDTH)})
        pq.write_table(table, folder / f"rows-{file}.parquet", row_group_size=10_000, use_dictionary=False)


def write_rows_again(source: Path, target: Path) -> None:
    """The same files several times, without their bytes."""
    target.mkdir()
    for file in source.iterdir():
        for time_ in range(TIMES):
            os.link(file, target / f"{time_}-{file.name}")


def ran(folder: Path, times: int, rows: int, rows_per_chunk: int, object_store_mb: int) -> Job:
    """Runs `rayton score` to its end, watched. Raises SystemExit if it fails."""
    output = folder / f"scored-{times}"
    places = {"source": folder / f"rows-{times}", "output": output, "repository": folder / "models"}
    job = write_job(folder / f"job-{times}.toml", **places, model=MODEL, rows_per_chunk=rows_per_chunk, url=None)
    bound = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(object_store_mb * 10**6)}
    began = time.monotonic()
    process = subprocess.Popen(module("rayton", "score", job), cwd=ROOT, env=environment() | bound)
    with watched(process.pid) as peaks:
        status = process.wait()
    if status != 0:
        raise SystemExit(f"the job of {rows:,} rows failed")
    scored = sum(pq.read_metadata(part).num_rows for part in (output / "data").iterdir())
    if scored != rows:
        raise SystemExit(f"{scored:,} rows were scored, not {rows:,}")
    return Job(rows, time.monotonic() - began, dict(peaks.bytes), dict(peaks.processes))


def show(once: Job, more: Job) -> None:
    """One line for each kind of process."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("MB at most", f"{once.rows:,} rows", f"{more.rows:,} rows", "ratio", "processes"):
        table.add_column(heading, justify="left" if heading == "MB at most" else "right")
    for kind, size in Counter(once.peaks).most_common():
        ratio = more.peaks.get(kind, 0) / size if size else float("nan")
        missed = " missed" if ratio > GOAL and (size > SMALL or kind == ALL) else ""
        processes = " to ".join(str(job.processes[kind]) for job in (once, more) if kind in job.processes)
        table.add_row(
            kind, f"{size / 1e6:.1f}", f"{more.peaks.get(kind, 0) / 1e6:.1f}", f"{ratio:.2f}{missed}", processes
        )
    console = Console(width=110)
    console.print(table)
    console.print(f"{once.seconds:.0f} s and {more.seconds:.0f} s; goal: at most {GOAL} times the memory")


if __name__ == "__main__":
    typer.run(main)
