"""What people write today without Rayton: one Ray Data pipeline for each way, as a command of its own.

python -m benchmarks.rivals WAY --source FOLDER --output FOLDER --version FOLDER --threads 2 --url HOST:PORT
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import typer
from ray.data import ActorPoolStrategy, Dataset
from tokenizers import Encoding, Tokenizer
from tritonclient.grpc import InferenceServerClient, InferInput

from ray_pipeline.scoring.batches import TOKENS_PER_BATCH, cut
from triton_models.card import Card, ImagePreparation, TextPreparation
from triton_models.pixels import pixels
from triton_models.repository.versions import read_card
from triton_models.storage import open_storage

ROWS = 32
"""Rows of a batch in the examples of Ray Data and of most blog posts."""
MODEL_FILE = "model.onnx"

Array = np.ndarray[Any, Any]
Batch = dict[str, npt.NDArray[Any]]
Way = Literal["onnxruntime", "bucketed", "tritonclient", "images"]


def session_of(version: Path, threads: int) -> ort.InferenceSession:
    """The same model file with the same settings as at the server."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(version / MODEL_FILE, options, providers=["CPUExecutionProvider"])


def card_of(version: Path) -> Card:
    """The card of a version folder, `REPOSITORY/MODEL/VERSION`."""
    return read_card(open_storage(str(version.parent.parent)), version.parent.name, int(version.name))


def tokenizer_of(version: Path, preparation: TextPreparation) -> Tokenizer:
    """The tokenizer that the model came with, cutting as the card says."""
    tokenizer = Tokenizer.from_file(str(version / preparation.tokenizer))
    tokenizer.enable_truncation(preparation.max_tokens)
    return tokenizer


def tensors(encodings: Iterable[Encoding], preparation: TextPreparation) -> dict[str, npt.NDArray[np.int64]]:
    """Padded encodings as the inputs of the model."""
    columns = {preparation.ids: "ids", preparation.mask: "attention_mask", preparation.types: "type_ids"}
    return {
        name: np.array([getattr(one, column) for one in encodings], np.int64)
        for name, column in columns.items()
        if name is not None
    }


def scored(ids: pa.Array | Array, embeddings: Array) -> pa.Table:
    """The rows of the output."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embeddings.shape[1])
    return pa.table({"id": ids, "embedding": lists})


class InProcess:
    """The example of Ray Data's documentation: tokenizer and model in the actor, batches in input order."""

    def __init__(self, version: Path, threads: int) -> None:
        preparation = card_of(version).preparation
        assert isinstance(preparation, TextPreparation)
        self._preparation = preparation
        self._tokenizer = tokenizer_of(version, preparation)
        self._tokenizer.enable_padding(pad_id=preparation.pad_id)
        self._session = session_of(version, threads)

    def __call__(self, batch: Batch) -> pa.Table:
        """Tokenizes and scores one batch, padded to its longest text."""
        inputs = tensors(self._tokenizer.encode_batch(batch["body"].tolist()), self._preparation)
        (embeddings,) = self._session.run(["sentence_embedding"], inputs)
        return scored(batch["id"], embeddings)


class Client:
    """The example of most blog posts: the same, with a request to a server in place of the model."""

    def __init__(self, version: Path, url: str) -> None:
        preparation = card_of(version).preparation
        assert isinstance(preparation, TextPreparation)
        self._preparation, self._model = preparation, version.parent.name
        self._tokenizer = tokenizer_of(version, preparation)
        self._tokenizer.enable_padding(pad_id=preparation.pad_id)
        self._client = InferenceServerClient(url)

    def __call__(self, batch: Batch) -> pa.Table:
        """Tokenizes one batch, padded to its longest text, and waits for its answer."""
        inputs = tensors(self._tokenizer.encode_batch(batch["body"].tolist()), self._preparation)
        sent = [InferInput(name, list(array.shape), "INT64") for name, array in inputs.items()]
        for tensor, array in zip(sent, inputs.values(), strict=True):
            tensor.set_data_from_numpy(array)
        return scored(batch["id"], self._client.infer(self._model, sent).as_numpy("sentence_embedding"))


def tokenized(table: pa.Table, version: Path) -> pa.Table:
    """Token ids in place of the texts; runs in the task that reads."""
    preparation = card_of(version).preparation
    assert isinstance(preparation, TextPreparation)
    encodings = tokenizer_of(version, preparation).encode_batch_fast(table["body"].to_pylist())
    return pa.table({"id": table["id"], "ids": pa.array([one.ids for one in encodings], pa.list_(pa.int32()))})


class Bucketed:
    """The most that a model in the actor can give: Rayton's batches, with nothing between them and the model."""

    def __init__(self, version: Path, threads: int) -> None:
        card = card_of(version)
        assert isinstance(card.preparation, TextPreparation)
        self._preparation, self._most_rows = card.preparation, card.max_batch_size
        self._session = session_of(version, threads)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Scores a block: texts of like length together, answers back in order."""
        ids = [np.array(row, np.int64) for row in table["ids"].to_pylist()]
        lengths = np.array([len(row) for row in ids], np.int64)
        found: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(ids)
        for rows in cut(lengths, self._most_rows, TOKENS_PER_BATCH, padding=True):
            (embeddings,) = self._session.run(["sentence_embedding"], self._inputs([ids[row] for row in rows]))
            for row, embedding in zip(rows, embeddings, strict=True):
                found[row] = embedding
        return scored(table["id"], np.stack(found))

    def _inputs(self, texts: list[npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.int64]]:
        lengths = np.array([len(text) for text in texts])
        ids = np.full((len(texts), lengths.max()), self._preparation.pad_id, np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
        mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
        given = self._preparation
        stacked = {given.ids: ids, given.mask: mask, given.types: np.zeros_like(ids)}
        return {name: array for name, array in stacked.items() if name is not None}


def decoded(table: pa.Table, version: Path) -> pa.Table:
    """Pixels in place of the encoded images; runs in the task that reads."""
    preparation = card_of(version).preparation
    assert isinstance(preparation, ImagePreparation)
    found = np.stack([pixels(image, preparation).reshape(-1) for image in table["image"].to_pylist()])
    whole = pa.Array.from_buffers(pa.binary(found.shape[1]), len(found), [None, pa.py_buffer(found)])
    return pa.table({"id": table["id"], "pixels": whole})


class Classifier:
    """A model of pixels in the actor."""

    def __init__(self, version: Path, threads: int) -> None:
        card = card_of(version)
        (self._input,) = card.inputs
        self._session = session_of(version, threads)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Scores one batch."""
        column = table["pixels"].combine_chunks()
        size = column.type.byte_width
        flat = np.frombuffer(column.buffers()[1], np.uint8, len(column) * size, column.offset * size)
        label, logits = self._session.run(["label", "logits"], {self._input.name: flat.reshape(-1, *self._input.shape)})
        lists = pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), logits.shape[1])
        return pa.table({"id": table["id"], "label": label, "logits": lists})


def pipeline(way: Way, rows: Dataset, version: Path, threads: int, url: str, clients: int) -> Dataset:
    """The steps between reading and writing; `clients` actors of `tritonclient` have one request each in flight."""
    one_actor = ActorPoolStrategy(size=1)
    local = {"version": version, "threads": threads}
    if way == "onnxruntime":
        return rows.map_batches(InProcess, batch_size=ROWS, compute=one_actor, fn_constructor_kwargs=local)
    if way == "tritonclient":
        remote = {"version": version, "url": url}
        pool = ActorPoolStrategy(size=clients)
        return rows.map_batches(Client, batch_size=ROWS, compute=pool, num_cpus=0, fn_constructor_kwargs=remote)
    first, scorer, size = (tokenized, Bucketed, None) if way == "bucketed" else (decoded, Classifier, 64)
    return rows.map_batches(partial(first, version=version), batch_size=None, batch_format="pyarrow").map_batches(
        scorer,
        batch_size=size,
        batch_format="pyarrow",
        compute=one_actor,
        num_cpus=0,
        fn_constructor_kwargs=local,
    )


def main(
    way: Annotated[str, typer.Argument()],
    source: Annotated[Path, typer.Option()],
    output: Annotated[Path, typer.Option()],
    version: Annotated[Path, typer.Option(help="Folder of the model's version.")],
    threads: Annotated[int, typer.Option(help="Threads of ONNX Runtime within an operator.")] = 0,
    url: Annotated[str, typer.Option(help="The server, for tritonclient.")] = "",
    clients: Annotated[int, typer.Option(help="How many requests of tritonclient are in flight.")] = 1,
) -> None:
    """Reads `source`, scores it a file's rows at a time, and writes each as one file."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows_per_file = pq.read_metadata(next(source.glob("*.parquet"))).num_rows
    # Ray reads small files into one block.
    rows = ray.data.read_parquet(str(source)).repartition(target_num_rows_per_block=rows_per_file)
    done = pipeline(way, rows, version, threads, url, clients)  # type: ignore[arg-type]
    # As Rayton writes its parts: vectors hardly repeat.
    done.write_parquet(str(output / "data"), compression="zstd", use_dictionary=["id"])
    ray.shutdown()


if __name__ == "__main__":
    typer.run(main)
