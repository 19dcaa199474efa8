"""How pixels reach a server: shared memory beside gRPC, and bytes with the normalisation in the graph beside floats.

One network that hardly computes, the mean of each colour and one layer, is exported twice: for normalised float32
pixels and, with the normalisation in front, for UINT8 ones. The same random images wait prepared in a chunk; what is
measured is the score stage alone, from Arrow to Arrow, through one connection that has scored a chunk before. All ways
must give the same answers. Writes JSON and prints a table.

    python -m benchmarks.transport
    python -m benchmarks.transport --images 64 --repeats 3      # a quick look
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pyarrow as pa
import torch
import typer
from numpy.typing import NDArray

from benchmarks.measure import Comparison, Run, Runs, UnequalError, home, report, server_log
from exporter.export import export
from exporter.spec import ExportSpec
from ray_pipeline.models import job_model
from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.scoring.actor import Scoring, connected_scorers
from ray_pipeline.sections import ModelSpec
from ray_pipeline.telemetry.tally import Tally
from ray_pipeline.transport.base import TransportName
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

SIDE, CHANNELS, LABELS = 224, 3, 10
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TIMEOUT_S = 60.0
TOLERANCE = 1e-3

FLOATS_GRPC, FLOATS_SHARED = "float32, gRPC", "float32, shared memory"
BYTES_GRPC, BYTES_SHARED = "uint8, gRPC", "uint8, shared memory"
COMPARISONS = (
    Comparison("shared memory", FLOATS_SHARED, FLOATS_GRPC, 3.5),
    Comparison("bytes", BYTES_GRPC, FLOATS_GRPC, 3.0),
    Comparison("both", BYTES_SHARED, FLOATS_GRPC, 3.0),
)

Scored = Callable[[], NDArray[np.float32]]


class Colours(torch.nn.Module):
    """Knows only the mean of each colour."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.labels = torch.nn.Linear(CHANNELS, LABELS)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Takes normalised pixels, [batch, 3, 224, 224]."""
        return {"logits": self.labels(pixels.mean(dim=(2, 3)))}


def colours() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """What `rayton export` is given."""
    return Colours().eval(), (torch.randn(2, CHANNELS, SIDE, SIDE),)


def main(
    images: Annotated[int, typer.Option(help="Images of a chunk.")] = 256,
    repeats: Annotated[int, typer.Option(help="Chunks that each way scores, in turn.")] = 9,
) -> None:
    """Prepares, measures, reports."""
    runtime = ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository = open_storage(str(folder / "models"))
        for name, image in (("floats", None), ("bytes", f"{SIDE}x{SIDE}")):
            normalize = "imagenet" if image else None
            export(
                ExportSpec(f"{__file__}:colours", name, repository.uri, image=image, normalize=normalize), repository
            )
        pixels = np.random.default_rng(0).integers(0, 256, (images, SIDE, SIDE, CHANNELS), np.uint8)
        options = ServerOptions(repository=folder / "models", log_file=server_log("transport"))
        with NodeServer.start(runtime, options) as server:
            ways = {
                FLOATS_GRPC: way(repository.uri, server.grpc_url, "floats", "pixels", floats_of(pixels), "grpc"),
                FLOATS_SHARED: way(
                    repository.uri, server.grpc_url, "floats", "pixels", floats_of(pixels), "shared_memory"
                ),
                BYTES_GRPC: way(repository.uri, server.grpc_url, "bytes", "image", bytes_of(pixels), "grpc"),
                BYTES_SHARED: way(repository.uri, server.grpc_url, "bytes", "image", bytes_of(pixels), "shared_memory"),
            }
            runs = taken_in_turn(ways, images, repeats)
    what = {
        "what": f"score stage of {images} images of {CHANNELS} x {SIDE} x {SIDE} in a chunk, a network of one layer",
        "rate": "rows per second of a chunk, from Arrow to Arrow",
    }
    report("transport", what, runs, COMPARISONS)


def floats_of(pixels: NDArray[np.uint8]) -> pa.Array:
    """Normalised pixels, channels first, as a job's read task would prepare them: lists of float32."""
    normal = ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)
    size = CHANNELS * SIDE * SIDE
    offsets = np.arange(0, (len(pixels) + 1) * size, size, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(normal.reshape(-1)))


def bytes_of(pixels: NDArray[np.uint8]) -> pa.Array:
    """Pixels as they are, as a job's read task would prepare them."""
    flat = pixels.reshape(len(pixels), -1)
    return pa.Array.from_buffers(pa.binary(flat.shape[1]), len(flat), [None, pa.py_buffer(flat)])


def way(repository: str, url: str, name: str, reads: str, rows: pa.Array, transport: TransportName) -> Scored:
    """Scores the rows with one model by one transport; one chunk has been scored already."""
    model = job_model(
        ModelSpec(name=name, inputs={reads: "rows"}, outputs={"logits": "logits"}), open_storage(repository), 1
    )
    (scorer,) = connected_scorers([model], url, Scoring(TIMEOUT_S, transport), Tally())
    chunk = pa.table({prepared_column(model, model.inputs[0].name): rows})
    good = np.ones(len(rows), np.bool_)

    def scored() -> NDArray[np.float32]:
        flat = scorer.score(chunk, good).columns["logits"].flatten()
        return np.asarray(flat, np.float32).reshape(len(rows), LABELS)

    scored()
    return scored


def taken_in_turn(ways: dict[str, Scored], rows: int, repeats: int) -> Runs:
    """Every way scores the chunk once a turn. Raises UnequalError if their answers differ."""
    runs: Runs = {name: [] for name in ways}
    for turn in range(repeats):
        answers = {}
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            began = time.monotonic()
            answers[name] = ways[name]()
            took_s = time.monotonic() - began
            runs[name].append(Run(rows / took_s, took_s))
        for name, found in answers.items():
            worst = float(np.abs(found - answers[FLOATS_GRPC]).max())
            if worst > TOLERANCE:
                raise UnequalError(f"{name} and {FLOATS_GRPC} differ by {worst:.2g}, at most {TOLERANCE:g} is allowed")
    return runs


if __name__ == "__main__":
    typer.run(main)
