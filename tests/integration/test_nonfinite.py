"""Answers that are NaN, from a job file to the output folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.factories.digits import split
from tests.support.jobs import failing_score, rejected_rows, score, scored_rows, totals, write_job
from tests.support.triton import start
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

DIGITS = Path(__file__).parent.parent / "support" / "factories" / "digits.py"
MODEL = 'name = "digits"\ninputs = { image = "pixels" }\noutputs = { logits = "scores" }'
ROWS, NAN_ROW = 40, 23


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Digits, one of them with a pixel that is no number."""
    images = split()[1][0][:ROWS].reshape(ROWS, -1).astype(np.float32)
    images[NAN_ROW, 5] = np.nan
    source = tmp_path / "digits.parquet"
    pq.write_table(pa.table({"id": range(ROWS), "pixels": images.tolist()}), source)
    return source


def test_a_row_without_a_finite_answer_is_rejected_kept_or_the_end_of_the_job(
    home: Path, runtime: Runtime, pictures: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    export(ExportSpec(f"{DIGITS}:trained", "digits", str(models)), open_storage(str(models)))

    with start(runtime, models) as server:

        def job(name: str, on_nonfinite: str) -> Path:
            triton: dict[str, object] = {"url": server.grpc_url, "repository": models}
            path = tmp_path / f"{name}.toml"
            write_job(path, input=pictures, output=tmp_path / name, triton=triton, model=MODEL, rows_per_chunk=15)
            path.write_text(path.read_text().replace("[output]\n", f"[output]\n{on_nonfinite}\n"))
            return path

        score(job("rejected", ""), home)
        assert totals(str(tmp_path / "rejected")) == {"rows": ROWS, "scored": ROWS - 1, "rejected": 1, "parts": 3}
        (row,) = rejected_rows(str(tmp_path / "rejected"))
        assert (row["row"], row["stage"]) == (NAN_ROW, "score")
        assert row["reason"] == "10 of 10 numbers of output 'logits' are NaN or infinite"

        score(job("kept", 'on_nonfinite = "keep"'), home)
        scores = np.array(scored_rows(str(tmp_path / "kept"))["scores"].to_pylist())
        assert np.flatnonzero(np.isnan(scores).any(axis=1)).tolist() == [NAN_ROW]

        message = failing_score(job("failed", 'on_nonfinite = "fail"'), home)
        assert f"digits.parquet row {NAN_ROW}: 10 of 10 numbers of output 'logits' are NaN or infinite" in message
        assert not (tmp_path / "failed" / "_SUCCESS").exists()
