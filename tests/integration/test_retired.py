"""A version gives way to the next one in a server while a job uses it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.command import run_rayton
from tests.support.jobs import await_part, start_score, write_job
from tests.support.triton import start
from triton_models.server.live import load_everywhere
from triton_models.server.runtime import Runtime


def test_a_job_whose_version_is_retired_ends_and_says_what_to_do(
    home: Path, runtime: Runtime, texts: Path, tmp_path: Path, minilm_repository: Path
) -> None:
    models, output = tmp_path / "models", tmp_path / "out"
    shutil.copytree(minilm_repository, models)
    with start(runtime, models) as server:
        triton: dict[str, object] = {"url": server.grpc_url, "repository": models}
        job = write_job(tmp_path / "job.toml", input=texts, output=output, triton=triton, timeout_s=60)
        process = start_score(job, home)
        await_part(process, output)
        run_rayton(home, "pause", str(output))  # or it might end before the next version is loaded
        shutil.copytree(models / "minilm" / "1", models / "minilm" / "2")
        load_everywhere([server.grpc_url], "minilm", 2)
        run_rayton(home, "resume", str(output))
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"error: version 1 of 'minilm' is no longer served by {server.grpc_url}; it serves 2." in errors
    assert "Traceback" not in errors
    assert not (output / "_SUCCESS").exists()
