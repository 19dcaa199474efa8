"""What the benchmarks share: contenders take turns as processes of their own, and their answers must be equal.

A contender is a command that reads Parquet and writes Parquet. Its rate is told by the files that it leaves: rows a
second from the end of its first file to the end of its last, so that no start-up is in it and nobody's code is asked.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
WANTED_COSINE = 0.9999

JOB = """\
[input]
uri = "{source}"
keep = ["id"]
rows_per_chunk = {rows_per_chunk}

[[models]]
{model}

[output]
uri = "{output}"

[triton]
{triton}
"""

Command = Sequence[str]


@dataclass(frozen=True)
class Contender:
    """A command and the folder in which it leaves its Parquet files; the folder is emptied before each run.

    `first` is how many files are made at once in the beginning: the rate counts from the end of the last of them.
    """

    command: Command
    output: Path
    first: int = 1


@dataclass(frozen=True)
class Run:
    """One run: rows a second from the first files' end to the last one's, and the seconds of all, start-up included."""

    rows_per_s: float
    wall_s: float


@dataclass(frozen=True)
class Comparison:
    """One line of the table: `ours` is wanted to be at least `goal` times as fast as `theirs`."""

    what: str
    ours: str
    theirs: str
    goal: float


Runs = dict[str, list[Run]]


class UnequalError(Exception):
    """Two contenders gave different answers: their speeds are not to be compared."""


def write_job(
    path: Path, *, source: Path, output: Path, repository: Path, model: str, rows_per_chunk: int, url: str | None
) -> Path:
    """Writes a job file and gives its path; `model` is what stands below `[[models]]`.

    With None as the `url` of a server the job starts its own.
    """
    triton = f'repository = "{repository}"' if url is None else f'url = "{url}"\nrepository = "{repository}"'
    path.write_text(JOB.format(source=source, output=output, model=model, rows_per_chunk=rows_per_chunk, triton=triton))
    return path


def interleaved(contenders: Mapping[str, Contender], repeats: int, column: str) -> Runs:
    """Runs all contenders `repeats` times, in turn there and in turn back, and compares their answers each time.

    Raises UnequalError if the rows of `column` are not those of the first contender.
    """
    runs: Runs = {name: [] for name in contenders}
    for repeat in range(repeats):
        for name in list(contenders)[:: -1 if repeat % 2 else 1]:
            runs[name].append(timed(contenders[name]))
            print(f"{name:28} {runs[name][-1].rows_per_s:8.1f} rows/s", flush=True)
        check_equal({name: answers(contender.output) for name, contender in contenders.items()}, column)
    return runs


def timed(contender: Contender) -> Run:
    """Runs a command to its end. Raises SystemExit with what it said if it fails."""
    shutil.rmtree(contender.output, ignore_errors=True)
    began = time.monotonic()
    done = subprocess.run(contender.command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    wall_s = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(contender.command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    ended = sorted((file.stat().st_mtime_ns, file) for file in parts(contender.output))
    first = contender.first
    if len(ended) <= first:
        raise SystemExit(f"{' '.join(contender.command)} wrote {len(ended)} files; a rate needs more than {first}")
    rows = sum(pq.read_metadata(file).num_rows for _, file in ended[first:])
    return Run(rows / ((ended[-1][0] - ended[first - 1][0]) / 1e9), wall_s)


def environment() -> dict[str, str]:
    """For every contender alike: Ray on loopback, and quiet."""
    return os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def module(name: str, *words: object) -> list[str]:
    """The command that runs a module of this checkout with this interpreter."""
    return [sys.executable, "-m", name, *map(str, words)]


def home() -> Path:
    """Where the embedded server is installed."""
    return Path(os.environ.get("RAYTON_HOME", ".rayton")).absolute()


def server_log(name: str) -> Path:
    """What a server of a benchmark says. It stays, unlike the folder of the benchmark: it may tell of a death."""
    return home() / "logs" / f"benchmark-{name}.log"


def parts(output: Path) -> list[Path]:
    """The Parquet files with answers."""
    return sorted((output / "data").glob("*.parquet"))


def answers(output: Path) -> pa.Table:
    """All answers, sorted by id."""
    return pa.concat_tables([pq.read_table(file) for file in parts(output)]).sort_by("id")


def check_equal(found: Mapping[str, pa.Table], column: str) -> None:
    """Raises UnequalError unless all contenders have the same ids and, row by row, the same vectors in `column`.

    The mean of the column is taken away before: vectors that are nearly alike in all rows would hide a mix-up.
    """
    (first, wanted), *others = found.items()
    expected = vectors(wanted, column)
    mean = expected.mean(axis=0)
    for name, table in others:
        if not table["id"].equals(wanted["id"]):
            raise UnequalError(f"{name} has {table.num_rows} rows, {first} {wanted.num_rows}, or other ids")
        worst = worst_cosine(vectors(table, column) - mean, expected - mean)
        if worst < WANTED_COSINE:
            raise UnequalError(f"{name} and {first} differ: worst cosine {worst:.6f}, wanted {WANTED_COSINE}")


def vectors(table: pa.Table, column: str) -> NDArray[np.float64]:
    """A column of lists of one length, [rows, length]."""
    flat = np.asarray(table[column].combine_chunks().flatten(), np.float64)
    return flat.reshape(table.num_rows, -1)


def worst_cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The smallest cosine of two rows."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())


def ratios(runs: Runs, comparison: Comparison) -> list[float]:
    """How many times as fast ours was, turn by turn."""
    pairs = zip(runs[comparison.ours], runs[comparison.theirs], strict=True)
    return [ours.rows_per_s / theirs.rows_per_s for ours, theirs in pairs]


def machine() -> dict[str, Any]:
    """What a figure depends on."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory_kb = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory_kb / 1e6, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("ray", "onnxruntime", "tritonclient", "pyarrow", "numpy")},
        "load": os.getloadavg(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def report(name: str, what: Mapping[str, Any], runs: Runs, comparisons: Sequence[Comparison]) -> None:
    """Writes the JSON of a benchmark and prints its table: medians, and ratios turn by turn."""
    compared = []
    table = Table(box=SIMPLE_HEAD)
    for heading in ("what", "rows/s", "against", "rows/s", "ratio", "each turn", "goal"):
        table.add_column(heading, justify="left" if heading in ("what", "against") else "right")
    for comparison in comparisons:
        each = ratios(runs, comparison)
        found = statistics.median(each)
        compared.append(asdict(comparison) | {"ratio": {"each": each, "median": found}})
        ours, theirs = median_rate(runs[comparison.ours]), median_rate(runs[comparison.theirs])
        shown = " ".join(f"{ratio:.2f}" for ratio in each)
        verdict = f"{found:.2f}{'' if found >= comparison.goal else ' missed'}"
        table.add_row(
            comparison.what, f"{ours:.0f}", comparison.theirs, f"{theirs:.0f}", verdict, shown, f"{comparison.goal:g}"
        )
    told = {name: [asdict(run) for run in taken] for name, taken in runs.items()}
    save(name, {**what, "runs": told, "compared": compared})
    console = Console(width=130)
    console.print(table)
    console.print(
        f"load {os.getloadavg()} on {os.cpu_count()} cores: beside others at work no figure is worth anything"
    )


def median_rate(runs: Sequence[Run]) -> float:
    """Rows a second."""
    return statistics.median(run.rows_per_s for run in runs)


def save(name: str, result: Mapping[str, Any]) -> None:
    """Writes `results/NAME.json`, with what is to be known of the machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**result, "machine": machine()}, indent=2) + "\n")
    print(path)
