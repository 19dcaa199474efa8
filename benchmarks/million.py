"""A million small rows in one job: how long it takes, and whether memory stays flat from its beginning to its end.

scikit-learn's 1,797 handwritten digits, repeated, are read by a small convolutional network that was trained on some of
them. The job starts a server of its own; all of its processes are looked at twice a second. In the end every row must
be there once, with the label that the network gives outside of the job. Writes JSON and prints a table.

    python -m benchmarks.million
    python -m benchmarks.million --rows 100000      # a quick look
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from benchmarks.measure import ROOT, environment, home, module, parts, save, write_job
from benchmarks.processes import ALL, looked_at
from exporter.export import export
from exporter.spec import ExportSpec
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

FILES = 8
ROWS_PER_CHUNK = 4096
QUARTERS = 4
EVERY_S = 0.5
GOAL = 1.1
"""The most memory in the last quarter, against that in the second: in the first the job grows to its size."""
OBJECT_STORE_BYTES = 256 * 10**6
"""Without a bound Ray takes 30 % of the machine, and reads ahead into it."""

MODEL = 'name = "digits"\ninputs = { image = "image" }\noutputs = { logits = "logits" }'


@dataclass(frozen=True)
class Look:
    """The processes of the job at one moment: bytes in all, and how many parts were there."""

    seconds: float
    parts: int
    bytes: int


def main(rows: Annotated[int, typer.Option()] = 1_000_000) -> None:
    """Prepares, scores, checks, reports."""
    ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository = open_storage(str(folder / "models"))
        factory = ROOT / "tests" / "support" / "factories" / "digits.py"
        version = Path(export(ExportSpec(f"{factory}:trained", "digits", repository.uri), repository).uri)
        images = (load_digits().images / 16).astype(np.float32)
        write_rows(folder / "digits", images, rows)
        looks = scored(folder)
        check(folder / "scored", labels(version, images), rows)
        wall_s = looks[-1].seconds
    quarters = peaks(looks)
    ratio = quarters[-1] / quarters[1]
    what = {
        "what": f"{rows:,} digits of 8 x 8 through a small convolutional network, default settings",
        "seconds": wall_s,
        "rows_per_s_start_up_included": rows / wall_s,
        "object_store_bytes": OBJECT_STORE_BYTES,
        "peak_bytes_of_quarters": quarters,
        "ratio": ratio,
        "goal": GOAL,
        "looks": [asdict(look) for look in looks],
    }
    save("million", what)
    table = Table(box=SIMPLE_HEAD)
    for quarter in range(QUARTERS):
        table.add_column(f"quarter {quarter + 1}", justify="right")
    table.add_row(*(f"{peak / 1e6:.0f} MB" for peak in quarters))
    console = Console()
    console.print(table)
    console.print(
        f"{rows:,} rows in {wall_s:.0f} s with start-up; last quarter against second: {ratio:.2f} (goal {GOAL})"
    )


def write_rows(folder: Path, images: NDArray[np.float32], rows: int) -> None:
    """Parquet files with `id` and `image`; the image of a row is that of its id, modulo their number."""
    folder.mkdir()
    for file in range(FILES):
        ids = np.arange(file * rows // FILES, (file + 1) * rows // FILES)
        flat = pa.array(images[ids % len(images)].reshape(-1))
        table = pa.table({"id": ids, "image": pa.FixedSizeListArray.from_arrays(flat, images[0].size)})
        pq.write_table(table, folder / f"digits-{file}.parquet", row_group_size=16_384)


def scored(folder: Path) -> list[Look]:
    """Runs `rayton score` to its end, watched. Raises SystemExit if it fails."""
    output = folder / "scored"
    places = {"source": folder / "digits", "output": output, "repository": folder / "models"}
    job = write_job(folder / "job.toml", **places, model=MODEL, rows_per_chunk=ROWS_PER_CHUNK, url=None)
    bound = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(OBJECT_STORE_BYTES)}
    began = time.monotonic()
    process = subprocess.Popen(module("rayton", "score", job), cwd=ROOT, env=environment() | bound)
    seen, looks = {process.pid}, []
    while process.poll() is None:
        found = looked_at(process.pid, seen).bytes[ALL]
        looks.append(Look(time.monotonic() - began, len(parts(output)), found))
        time.sleep(EVERY_S)
    if process.returncode != 0:
        raise SystemExit("the job failed")
    looks.append(Look(time.monotonic() - began, len(parts(output)), 0))
    return looks


def peaks(looks: list[Look]) -> list[int]:
    """The most bytes while each quarter of the parts was written."""
    whole = looks[-1].parts
    found = [0] * QUARTERS
    for look in looks:
        if look.parts > 0:
            quarter = min(QUARTERS * look.parts // whole, QUARTERS - 1)
            found[quarter] = max(found[quarter], look.bytes)
    return found


def labels(version: Path, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """What the network says of each image, outside of the job."""
    session = onnxruntime.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images[:, None]})
    found: NDArray[np.int64] = logits.argmax(axis=1)
    return found


def check(output: Path, wanted: NDArray[np.int64], rows: int) -> None:
    """Raises SystemExit unless every id is there once, with the label of its image."""
    table = ds.dataset(output / "data", format="parquet").to_table()
    ids = table["id"].to_numpy()
    logits = np.asarray(table["logits"].combine_chunks().flatten()).reshape(len(ids), -1)
    if len(ids) != rows or len(np.unique(ids)) != rows or ids.max() != rows - 1:
        raise SystemExit(f"{len(ids):,} rows were scored, {len(np.unique(ids)):,} of them different, not {rows:,}")
    wrong = int((logits.argmax(axis=1) != wanted[ids % len(wanted)]).sum())
    if wrong:
        raise SystemExit(f"{wrong:,} rows have another label than the network gives outside of the job")


if __name__ == "__main__":
    typer.run(main)
