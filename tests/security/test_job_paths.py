"""What the folders of a job name lies in them: parts, plans and inputs."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from rich.console import Console

from ray_pipeline.chunk import Chunk, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.job import run_job
from ray_pipeline.output import parts
from ray_pipeline.output.claim import write_plan
from ray_pipeline.plan import Plan, check_named, make_plan
from ray_pipeline.report import Report
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.spec import JobSpec
from tests.support.committed import PLAN
from triton_models.errors import RaytonError, StorageError
from triton_models.storage import open_storage


def test_parts_with_strange_names_are_no_parts(store: str) -> None:
    output = open_storage("s3://bucket/out", store)
    client = boto3.client("s3", endpoint_url=store)
    for key in ("out/data/part-../../../other.parquet", "out/data/../part-x.parquet", "other.parquet"):
        client.put_object(Bucket="bucket", Key=key, Body=b"evil")
    with suppress(StorageError):
        assert parts.tidy(output, SINKS["parquet"], PLAN) == {}
    assert client.get_object(Bucket="bucket", Key="other.parquet")["Body"].read() == b"evil"


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    """A job over `in/*.csv`; beside it lies a file of others, of the same columns."""
    for folder, text in (("in", "mine"), ("outside", "secret")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(f"x\n{text}\n")
    return JobSpec.model_validate(
        {
            "input": {"uri": str(tmp_path / "in"), "keep": ["x"]},
            "models": [{"name": "m", "inputs": {"x": "x"}, "outputs": {"y": "y"}}],
            "output": {"uri": str(tmp_path / "out")},
            "triton": {"url": "localhost:1"},
        }
    )


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("in", "../outside/a.csv"),
        ("in", "a.csv/../../outside/a.csv"),
        ("outside", "a.csv"),
        ("", "outside/a.csv"),
        ("", "in/../outside/a.csv"),
    ],
)
def test_a_plan_that_others_wrote_cannot_let_a_job_read_beside_its_input(
    spec: JobSpec, tmp_path: Path, folder: str, path: str
) -> None:
    output = open_storage(spec.output.uri)
    plan = make_plan(spec)
    check_named(plan, spec.input.uri)
    secret = open_storage(str(tmp_path / "outside")).stat("a.csv")
    assert secret is not None
    piece = replace(plan.chunks[0].pieces[0], path=path, stamp=secret.stamp)
    write_plan(output, replace(plan, folder=str(tmp_path / folder).rstrip("/"), chunks=(Chunk((piece,)),)))
    with pytest.raises(RaytonError, match=r"does not name|is no plan of a job"):
        run_job(spec, tmp_path, None, Report(Console(quiet=True), spec.output.uri))
    assert [one.path for one in output.objects(hidden=True)] == ["_plan.parquet"]


@pytest.mark.parametrize(
    ("uri", "folder", "path", "named"),
    [
        ("/d", "/d", "a.csv", True),
        ("/d/", "/d", "deep/a.csv", True),
        ("/d/a.csv", "/d", "a.csv", True),
        ("/a.csv", "/", "a.csv", True),
        ("/d/*.csv", "/d", "a.csv", True),
        ("/d/**/*.csv", "/d", "x/y/a.csv", True),
        ("s3://b/d", "s3://b/d", "a.csv", True),
        ("s3://b/d/part-[ab].csv", "s3://b/d", "part-a.csv", True),
        ("/d/*.csv", "/d", "x/a.csv", False),
        ("/d/a.csv", "/d", "b.csv", False),
        ("/d", "/", "d/a.csv", False),
        ("/d", "/d", "../e/a.csv", False),
        ("s3://b/d", "/d", "a.csv", False),
        ("s3://b/d", "s3://b", "e/a.csv", False),
    ],
)
def test_what_an_input_names(uri: str, folder: str, path: str, named: bool) -> None:
    plan = Plan(folder, pa.schema([]), (Chunk((Piece(path, "s", 1),)),))
    with nullcontext() if named else pytest.raises(InputError, match="does not name"):
        check_named(plan, uri)
