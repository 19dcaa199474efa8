"""JPEG images to labels: Rayton beside the same pipeline with ONNX Runtime in the Ray Data actor, end to end.

Cuttings of two photographs, each of another place and size, lie as JPEG in a binary column of Parquet files. Both
decode them as the model's card says in the task that reads, send 64 rows of pixels at a time through a ResNet-18 with
random weights, and write label and logits. Both use one model file, one version of ONNX Runtime, and as many threads.
Rates count from the first written file to the last. Writes JSON and prints a table.

    python -m benchmarks.images
    python -m benchmarks.images --images 256 --rows-per-file 32 --repeats 1      # a quick look
"""

from __future__ import annotations

import io
import os
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from PIL import Image
from transformers import ResNetConfig, ResNetForImageClassification

from benchmarks.measure import Comparison, Contender, home, interleaved, module, report, server_log, write_job
from exporter.export import export
from exporter.spec import ExportSpec
from triton_models.config.tuning import Tuning
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

THREADS = os.cpu_count() or 1
LABELS = 100
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
COMPARISONS = (Comparison("images to labels", "rayton", "in-process", 0.9),)

MODEL = 'name = "resnet"\ninputs = { image = "image" }\noutputs = { label = "label", logits = "logits" }'


class Labelled(torch.nn.Module):
    """A ResNet-18 that names the class besides its logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        labels = {number: f"label {number}" for number in range(LABELS)}
        sizes = ResNetConfig(layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], id2label=labels)
        self.network = ResNetForImageClassification(sizes)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Takes normalised pixels, [batch, 3, 224, 224]."""
        logits = self.network(image).logits
        return {"label": logits.argmax(dim=1), "logits": logits}


def resnet() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """What `rayton export` is given."""
    return Labelled().eval(), (torch.randn(2, 3, 224, 224),)


def main(
    images: Annotated[int, typer.Option()] = 1536,
    rows_per_file: Annotated[int, typer.Option(help="Rows of a file, a chunk, a block.")] = 128,
    repeats: Annotated[int, typer.Option()] = 3,
) -> None:
    """Prepares, measures, reports."""
    runtime = ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder / "images", images, rows_per_file)
        repository = open_storage(str(folder / "models"))
        spec = ExportSpec(
            f"{__file__}:resnet",
            "resnet",
            repository.uri,
            image="224x224",
            normalize="imagenet",
            tuning=Tuning(threads=THREADS),
        )
        version = Path(export(spec, repository).uri)
        options = ServerOptions(repository=folder / "models", log_file=server_log("images"))
        with NodeServer.start(runtime, options) as server:
            contenders = {
                "rayton": rayton(folder, server.grpc_url, rows_per_file),
                "in-process": in_process(folder, version),
            }
            runs = interleaved(contenders, repeats, "logits")
    what = {
        "what": f"JPEG to 224 x 224 pixels to ResNet-18, random weights, {THREADS} threads within an operator",
        "rows": images,
        "rows_per_file": rows_per_file,
        "rate": "rows per second from the end of the first written file to the end of the last",
    }
    report("images", what, runs, COMPARISONS)


def write_images(folder: Path, images: int, rows: int) -> None:
    """Parquet files with the columns `id` and `image`."""
    folder.mkdir()
    photographs = [
        Image.open(io.BytesIO((resources.files("sklearn.datasets.images") / name).read_bytes())) for name in PHOTOGRAPHS
    ]
    random = np.random.default_rng(0)
    for file in range(images // rows):
        ids = range(file * rows, (file + 1) * rows)
        jpegs = [cutting(photographs[one % len(photographs)], random) for one in ids]
        pq.write_table(pa.table({"id": list(ids), "image": jpegs}), folder / f"images-{file:03}.parquet")


def cutting(photograph: Image.Image, random: np.random.Generator) -> bytes:
    """A part of a photograph, at least half as wide and as high, enlarged to its size, as JPEG."""
    width, height = photograph.size
    left, top = (int(random.integers(size // 2)) for size in (width, height))
    right, bottom = (
        int(random.integers(start + size // 2, size + 1)) for start, size in ((left, width), (top, height))
    )
    sink = io.BytesIO()
    photograph.resize((width, height), box=(left, top, right, bottom)).save(sink, "JPEG", quality=90)
    return sink.getvalue()


def rayton(folder: Path, url: str, rows: int) -> Contender:
    """`rayton score`."""
    output = folder / "rayton"
    places = {"source": folder / "images", "output": output, "repository": folder / "models"}
    job = write_job(folder / "job.toml", **places, model=MODEL, rows_per_chunk=rows, url=url)
    return Contender(module("rayton", "score", job), output)


def in_process(folder: Path, version: Path) -> Contender:
    """The same steps in plain Ray Data."""
    output = folder / "in-process"
    words = ("--source", folder / "images", "--output", output, "--version", version, "--threads", THREADS)
    return Contender(module("benchmarks.rivals", "images", *words), output)


if __name__ == "__main__":
    typer.run(main)
