"""Jobs from end to end: real texts through Ray Data and a real server, to a disk and to an S3 store."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.counts import settled_total
from tests.support.factories.digits import accuracy, split
from tests.support.jobs import (
    MINILM,
    await_part,
    failing_score,
    rejected_rows,
    score,
    scored_rows,
    start_score,
    totals,
    write_job,
)
from tests.support.leftovers import left_shared_memory, shared_memory
from tests.support.s3 import object_store
from triton_models.repository.checksums import checksums
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

DIGITS = Path(__file__).parent.parent / "support" / "factories" / "digits.py"


@pytest.fixture
def triton(minilm_server: NodeServer, minilm_repository: Path) -> dict[str, object]:
    return {"url": minilm_server.grpc_url, "repository": minilm_repository}


def test_scores_what_pytorch_says_and_does_nothing_the_second_time(
    home: Path, texts: Path, tmp_path: Path, triton: dict[str, object], minilm_folder: Path, minilm_server: NodeServer
) -> None:
    source = pq.read_table(texts).slice(0, 300)
    few = tmp_path / "few.parquet"
    pq.write_table(source, few, row_group_size=70)
    job = write_job(tmp_path / "job.toml", input=few, output=tmp_path / "out", triton=triton)

    printed = score(job, home)

    assert "300 rows = 300 scored + 0 rejected, in 3 parts" in printed
    scored = scored_rows(str(tmp_path / "out"))
    assert scored.schema.names == ["id", "embedding"]
    assert scored.schema.field("embedding").type == pa.list_(pa.float32(), 384)
    assert scored["id"].to_pylist() == sorted(source["id"].to_pylist())
    body_of = dict(zip(source["id"].to_pylist(), source["body"].to_pylist(), strict=True))
    reference = SentenceTransformer(str(minilm_folder), device="cpu")
    expected = reference.encode([body_of[row] for row in scored["id"].to_pylist()], normalize_embeddings=True)
    np.testing.assert_allclose(np.array(scored["embedding"].to_pylist()), expected, atol=1e-5)

    before = inferences(minilm_server)
    assert "the job was complete before" in score(job, home)
    assert inferences(minilm_server) == before


def test_a_local_folder_and_an_s3_store_give_the_same_rows(
    home: Path, texts: Path, tmp_path: Path, triton: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (texts / "docstrings.parquet").read_bytes()
    local = write_job(tmp_path / "local.toml", input=texts, output=tmp_path / "out", triton=triton)
    score(local, home)
    with object_store("corpus") as endpoint_url:
        monkeypatch.delenv("AWS_ENDPOINT_URL")  # the job file alone says where the store is
        open_storage("s3://corpus/texts", endpoint_url).write("docstrings.parquet", body)
        remote = write_job(
            tmp_path / "remote.toml",
            input="s3://corpus/texts/*.parquet",
            output="s3://corpus/embeddings",
            triton=triton,
            endpoint_url=endpoint_url,
        )
        score(remote, home)
        in_store = scored_rows("s3://corpus/embeddings", endpoint_url)
    on_disk = scored_rows(str(tmp_path / "out"))
    assert on_disk.num_rows == 1000
    assert in_store.schema.equals(on_disk.schema)
    assert in_store["id"].equals(on_disk["id"])
    # Triton puts batches of one shape together while they wait, and sums of other batches round in another way.
    theirs, ours = (np.array(rows["embedding"].to_pylist()) for rows in (in_store, on_disk))
    np.testing.assert_allclose(theirs, ours, atol=1e-6)


def test_bad_rows_of_json_lines_are_rejected_with_their_reason_and_the_others_scored(
    home: Path, tmp_path: Path, triton: dict[str, object]
) -> None:
    lines = [json.dumps({"id": row, "body": f"text number {row}"}) for row in range(100)]
    lines[3] = json.dumps({"id": 3, "body": None})
    lines[40] = '{"id": 40, "body": "never closed'
    lines[55] = json.dumps({"id": 55, "body": "long " * 300})
    lines[77] = json.dumps({"id": 77, "body": 12})
    source = tmp_path / "in" / "rows.jsonl"
    source.parent.mkdir()
    source.write_text("\n".join(lines))
    output = str(tmp_path / "out")

    job = tmp_path / "job.toml"
    whole = f"{MINILM}\ntruncate = false"
    score(write_job(job, input=source.parent, output=output, triton=triton, rows_per_chunk=30, model=whole), home)

    assert totals(output) == {"rows": 100, "scored": 96, "rejected": 4, "parts": 4}
    assert scored_rows(output)["id"].to_pylist() == [row for row in range(100) if row not in (3, 40, 55, 77)]
    rejected = rejected_rows(output)
    assert [(row["object"], row["row"], row["stage"]) for row in rejected] == [
        ("rows.jsonl", 3, "prepare"),
        ("rows.jsonl", 40, "read"),
        ("rows.jsonl", 55, "prepare"),
        ("rows.jsonl", 77, "read"),
    ]
    assert "null is not text" in rejected[0]["reason"]
    assert "not JSON" in rejected[1]["reason"]
    assert "302 tokens are more than the 256 that the model reads" in rejected[2]["reason"]
    assert "12 is not string" in rejected[3]["reason"]


def test_a_job_without_a_running_server_brings_its_own_and_takes_it_away(
    home: Path, texts: Path, tmp_path: Path, minilm_repository: Path
) -> None:
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(texts).slice(0, 50), few)
    before = shared_memory()
    job = write_job(tmp_path / "job.toml", input=few, output=tmp_path / "out", triton={"repository": minilm_repository})

    assert "50 rows = 50 scored" in score(job, home)

    assert left_shared_memory(before) == []


def test_images_in_a_column_of_lists_are_read_by_the_digits_network_as_well_as_in_pytorch(
    home: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    export(ExportSpec(f"{DIGITS}:trained", "digits", str(models)), open_storage(str(models)))
    images, labels = split()[1]
    pixels = pa.array([None, *images.reshape(len(images), -1).tolist()], pa.list_(pa.float32()))
    source = tmp_path / "digits.parquet"
    pq.write_table(pa.table({"id": range(-1, len(images)), "pixels": pixels}), source)
    model = 'name = "digits"\ninputs = { image = "pixels" }\noutputs = { logits = "scores" }'
    job = write_job(
        tmp_path / "job.toml", input=source, output=tmp_path / "out", triton={"repository": models}, model=model
    )

    score(job, home)

    scored = scored_rows(str(tmp_path / "out"))
    assert scored["id"].to_pylist() == list(range(len(images)))
    assert accuracy(np.array(scored["scores"].to_pylist()), labels) >= 0.97
    (rejected,) = rejected_rows(str(tmp_path / "out"))
    assert (rejected["row"], rejected["stage"]) == (0, "prepare")
    assert "null is not image FP32[1, 8, 8]" in rejected["reason"]


def test_an_output_folder_of_another_job_is_refused_and_says_what_differs(
    home: Path, texts: Path, tmp_path: Path, triton: dict[str, object]
) -> None:
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(texts).slice(0, 10), few)
    output = tmp_path / "out"
    score(write_job(tmp_path / "job.toml", input=few, output=output, triton=triton), home)
    other = write_job(tmp_path / "other.toml", input=few, output=output, triton=triton, rows_per_chunk=7)

    message = failing_score(other, home)

    assert f"{output} belongs to another job" in message
    assert "input.rows_per_chunk: there 100, here 7" in message


def test_a_server_that_is_not_there_is_named_with_how_long_it_was_tried(
    home: Path, texts: Path, tmp_path: Path, minilm_repository: Path, free_port: int
) -> None:
    nowhere: dict[str, object] = {"url": f"127.0.0.1:{free_port}", "repository": minilm_repository}
    job = write_job(tmp_path / "job.toml", input=texts, output=tmp_path / "out", triton=nowhere, timeout_s=2)

    message = failing_score(job, home)

    assert f"server 127.0.0.1:{free_port}" in message
    assert "over 2 s" in message
    assert not (tmp_path / "out").exists()


def test_a_server_that_goes_away_in_the_middle_ends_the_job_in_words_and_its_return_lets_it_go_on(
    home: Path, runtime: Runtime, texts: Path, tmp_path: Path, minilm_repository: Path
) -> None:
    options = ServerOptions(repository=minilm_repository, log_file=tmp_path / "triton.log")
    output = tmp_path / "out"
    with NodeServer.start(runtime, options) as server:
        triton: dict[str, object] = {"url": server.grpc_url, "repository": minilm_repository}
        job = write_job(tmp_path / "job.toml", input=texts, output=output, triton=triton, timeout_s=2)
        process = start_score(job, home)
        await_part(process, output)
        server.keeper.kill()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"error: server {server.grpc_url}" in errors
    assert "Traceback" not in errors
    assert not (output / "_SUCCESS").exists()

    same_port = replace(options, grpc_port=server.options.grpc_port)
    with NodeServer.start(runtime, same_port):
        assert "1,000 rows = 1,000 scored + 0 rejected" in score(job, home)


def test_an_input_that_changed_since_the_job_began_is_named(
    home: Path, texts: Path, tmp_path: Path, triton: dict[str, object]
) -> None:
    few, output = tmp_path / "few.parquet", tmp_path / "out"
    pq.write_table(pq.read_table(texts).slice(0, 20), few)
    job = write_job(tmp_path / "job.toml", input=few, output=output, triton=triton)
    score(job, home)
    (output / "_SUCCESS").unlink()
    for part in (output / "data").iterdir():
        part.unlink()
    pq.write_table(pq.read_table(texts).slice(20, 20), few)

    assert f"{few} has changed since the job was planned" in failing_score(job, home)


def test_a_model_that_the_jobs_own_server_cannot_load_is_named_with_a_log_that_is_there(
    home: Path, texts: Path, tmp_path: Path, minilm_repository: Path
) -> None:
    broken = tmp_path / "models"
    shutil.copytree(minilm_repository, broken)
    version = broken / "minilm" / "1"
    (version / "model.onnx").write_bytes(b"no model")
    card = json.loads((version / "card.json").read_text())
    card["files"]["model.onnx"] = checksums(version)["model.onnx"]
    (version / "card.json").write_text(json.dumps(card))
    job = write_job(tmp_path / "job.toml", input=texts, output=tmp_path / "out", triton={"repository": broken})

    message = failing_score(job, home)

    assert "minilm version 1 cannot be loaded" in message
    found = re.search(r"its log is (\S+)", message)
    assert found is not None
    assert "minilm" in Path(found[1]).read_text()


def inferences(server: NodeServer) -> float:
    """Rows that the server has scored since its start."""
    return settled_total(server.metrics_url, model="minilm")
