"""TritonScorer in a Ray Data pipeline of one's own, with real texts and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray.data import ActorPoolStrategy, Dataset
from sentence_transformers import SentenceTransformer

from exporter.export import export
from exporter.spec import ExportSpec
from ray_pipeline import TritonScorer
from ray_pipeline.errors import FatalError, InputError, JobFileError, ScorerError
from ray_pipeline.placement import connected
from tests.support.factories.digits import accuracy, split
from tests.support.jobs import score, scored_rows, write_job
from tests.support.triton import start
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

# Ray warns of its own defaults.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

DIGITS = Path(__file__).parent.parent / "support" / "factories" / "digits.py"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with connected(None):
        yield


@pytest.fixture
def arguments(minilm_server: NodeServer, minilm_repository: Path) -> dict[str, Any]:
    return {
        "model": "minilm",
        "url": minilm_server.grpc_url,
        "repository": str(minilm_repository),
        "inputs": {"text": "body"},
        "outputs": {"sentence_embedding": "embedding"},
        "timeout_s": 10,
    }


def scored(dataset: Dataset, arguments: dict[str, Any], rows: int = 150) -> pa.Table:
    scoring = dataset.map_batches(
        TritonScorer,
        fn_constructor_kwargs=arguments,
        batch_size=rows,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=1),
        num_cpus=0.25,
    )
    return pa.concat_tables(scoring.iter_batches(batch_size=None, batch_format="pyarrow"))


@pytest.mark.usefixtures("cluster")
def test_a_pipeline_of_ones_own_gets_what_pytorch_and_a_job_say(
    texts: Path, arguments: dict[str, Any], minilm_folder: Path, home: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(texts).slice(0, 400), few)

    table = scored(ray.data.read_parquet(str(few)), arguments).sort_by("id")

    assert table.column_names == ["id", "body", "embedding"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 384)
    found = np.array(table["embedding"].to_pylist())
    reference = SentenceTransformer(str(minilm_folder), device="cpu")
    expected = reference.encode(table["body"].to_pylist(), normalize_embeddings=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)

    triton = {"url": arguments["url"], "repository": arguments["repository"]}
    score(write_job(tmp_path / "job.toml", input=few, output=tmp_path / "out", triton=triton), home)
    of_job = scored_rows(str(tmp_path / "out"))
    assert of_job["id"].to_pylist() == table["id"].to_pylist()
    np.testing.assert_allclose(found, np.array(of_job["embedding"].to_pylist()), atol=1e-6)


@pytest.mark.usefixtures("cluster")
def test_rows_that_cannot_be_scored_are_null_and_say_why(arguments: dict[str, Any]) -> None:
    rows = [{"id": row, "body": None if row == 7 else f"text {row}"} for row in range(20)]
    table = scored(ray.data.from_items(rows), {**arguments, "on_bad_rows": "null"}).sort_by("id")
    wrong = [row for row, embedding in enumerate(table["embedding"].to_pylist()) if embedding is None]
    assert wrong == [7]
    assert table["error"].to_pylist() == ["column 'body': null is not text" if row == 7 else None for row in range(20)]


@pytest.mark.usefixtures("cluster")
def test_tensors_of_ray_data_go_in_as_they_are(runtime: Runtime, tmp_path: Path) -> None:
    models = tmp_path / "models"
    export(ExportSpec(f"{DIGITS}:trained", "digits", str(models)), open_storage(str(models)))
    images, labels = split()[1]
    dataset = ray.data.from_items(
        [{"image": image, "label": int(label)} for image, label in zip(images, labels, strict=True)]
    )
    with start(runtime, models) as server:
        table = scored(
            dataset,
            {
                "model": "digits",
                "url": server.grpc_url,
                "repository": str(models),
                "inputs": {"image": "image"},
                "outputs": {"logits": "scores"},
            },
        )
    assert accuracy(np.array(table["scores"].to_pylist()), np.array(table["label"].to_pylist())) >= 0.97


BODIES = pa.table({"body": ["one", None, "three"]})


@pytest.mark.parametrize(
    ("batch", "changed", "error", "told"),
    [
        ({"body": ["one"]}, {}, ScorerError, 'got a dict; pass batch_format="pyarrow" to map_batches'),
        (
            BODIES,
            {},
            ScorerError,
            "1 of the 3 rows of a batch cannot be scored, the first of them row 1: column 'body'",
        ),
        (BODIES, {"on_bad_rows": "drop"}, ScorerError, 'on_bad_rows is \'drop\'; give "raise" or "null"'),
        (BODIES, {"url": "localhost"}, ScorerError, "TritonScorer: url: 'localhost' is not host:port"),
        (BODIES, {"outputs": {}}, ScorerError, "TritonScorer: outputs: "),
        (BODIES, {"repository": None}, ScorerError, "give `repository`, the folder or bucket"),
        (BODIES, {"inputs": {"text": "title"}}, ScorerError, "'minilm' reads the column 'title'; there are body"),
        (BODIES, {"outputs": {"sentence_embedding": "body"}}, ScorerError, "would have the column 'body' twice"),
        (BODIES, {"outputs": {"embedding": "y"}}, JobFileError, "the model has no 'embedding'"),
        (BODIES, {"version": 9}, FatalError, "has version 1 of 'minilm' ready, not 9"),
        (pa.table({"body": ["long " * 300]}), {"truncate": False}, ScorerError, "302 tokens are more than the 256"),
        (pa.table({"body": [1]}), {}, InputError, "column 'body' is int64"),
    ],
)
def test_what_is_wrong_is_told(
    arguments: dict[str, Any], batch: Any, changed: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error) as raised:
        TritonScorer(**arguments | changed)(batch)
    assert told in str(raised.value)


def test_an_empty_batch_has_the_columns_too(arguments: dict[str, Any]) -> None:
    table = TritonScorer(**arguments)(BODIES.slice(0, 0))
    assert (table.num_rows, table.column_names) == (0, ["body", "embedding"])
