"""What planning 100,000 objects costs, and resuming a job of which 100,000 parts are there: seconds and memory.

Each step is a process of its own, whose peak of resident memory the system tells. Writes JSON and prints a table.

    python -m benchmarks.many_objects
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from ray_pipeline.output import parts
from ray_pipeline.output.claim import read_plan, write_plan
from ray_pipeline.output.ledger import Ledger
from ray_pipeline.output.success import finish
from ray_pipeline.plan import make_plan
from ray_pipeline.sections import InputSpec, ModelSpec, OutputSpec, TritonSpec
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult, data_path
from ray_pipeline.spec import JobSpec
from triton_models.storage import open_storage

OBJECTS = 100_000
FOLDERS = 100
ROWS = 3
SINK = SINKS["parquet"]
GOAL_S, GOAL_BYTES = 20.0, 10**9
RESULT = Path(__file__).parent / "results" / "many_objects.json"


def spec_of(folder: Path, kind: str, rows_per_chunk: int) -> JobSpec:
    """A job over the objects of one kind."""
    column = "image" if kind == "jpg" else "x"
    return JobSpec(
        input=InputSpec(uri=str(folder / kind), rows_per_chunk=rows_per_chunk),
        models=(ModelSpec(name="model", inputs={column: column}, outputs={"y": "y"}),),
        output=OutputSpec(uri=str(folder / f"out-{kind}")),
        triton=TritonSpec(url="localhost:8001"),
    )


def plan_images(folder: Path) -> None:
    """100,000 images, of which nothing but the list is read."""
    write_plan(open_storage(str(folder / "out-jpg")), make_plan(spec_of(folder, "jpg", 512)))


def plan_parquet(folder: Path) -> None:
    """100,000 small Parquet objects, the footer of each of which is read; a chunk for each of them."""
    write_plan(open_storage(str(folder / "out-parquet")), make_plan(spec_of(folder, "parquet", ROWS)))


def resume(folder: Path) -> None:
    """All parts are there and noted: what is left is found, everything is counted, and `_SUCCESS` is written."""
    output = open_storage(str(folder / "out-parquet"))
    plan = read_plan(output)
    assert plan is not None
    parts.tidy(output, SINK, plan)
    there = parts.committed(output, SINK)
    assert all(chunk.id in there for chunk in plan.chunks)
    assert finish(output, SINK, plan, []).rows == OBJECTS * ROWS


STEPS: dict[str, Callable[[Path], None]] = {
    "plan of 100,000 images": plan_images,
    "plan of 100,000 Parquet objects": plan_parquet,
    "resume with 100,000 parts": resume,
}


def make_inputs(folder: Path) -> None:
    """The objects, a thousand in each folder."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": pa.array(range(ROWS), pa.float32())}), sink)
    contents = {"jpg": b"not looked at", "parquet": sink.getvalue().to_pybytes()}
    for kind, content in contents.items():
        for number in range(FOLDERS):
            place = folder / kind / f"{number:03}"
            place.mkdir(parents=True)
            for one in range(OBJECTS // FOLDERS):
                (place / f"{one:05}.{kind}").write_bytes(content)


def make_parts(folder: Path) -> None:
    """What a run would have left that was killed just before its end: all parts, and what it noted of them."""
    output = open_storage(str(folder / "out-parquet"))
    plan = read_plan(output)
    assert plan is not None
    content = SINK.encoded(pa.table({"y": pa.array(range(ROWS), pa.float32())})).to_pybytes()
    (folder / "out-parquet" / "data").mkdir(parents=True)
    for chunk in plan.chunks:
        (folder / "out-parquet" / data_path(chunk, SINK)).write_bytes(content)
    results = (PartResult(chunk.id, ROWS, 0, len(content), "0" * 64) for chunk in plan.chunks)
    for _ in Ledger(output).noted(results):
        pass


def main() -> None:
    """Runs the steps one after another."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_inputs(folder)
        measured = {}
        for name in STEPS:
            if name == "resume with 100,000 parts":
                make_parts(folder)
            command = [sys.executable, "-m", "benchmarks.many_objects", str(folder), name]
            measured[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            shown = measured[name]
            print(f"{name:32} {shown['seconds']:6.1f} s  {shown['peak_bytes'] / 1e6:7,.0f} MB", flush=True)
    result = {
        "machine": {"cores": os.cpu_count(), "load_after": os.getloadavg()},
        "steps": measured,
        "goal": {"seconds": GOAL_S, "peak_bytes": GOAL_BYTES},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(f"goal: at most {GOAL_S:g} s and {GOAL_BYTES / 1e6:,.0f} MB each; {RESULT}")


def step(folder: Path, name: str) -> None:
    """One step; prints what it cost as JSON."""
    began = time.monotonic()
    STEPS[name](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": time.monotonic() - began, "peak_bytes": peak}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        step(Path(sys.argv[1]), sys.argv[2])
    else:
        main()
