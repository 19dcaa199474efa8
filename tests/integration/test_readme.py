"""The programs in the README, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from triton_models.server.process import NodeServer

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_client_in_the_readme_gets_its_embeddings(
    minilm_server: NodeServer, minilm_repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(minilm_repository)
    assert printed_by("client.py", minilm_server, tmp_path) == "(2, 384)"


def test_the_pipeline_in_the_readme_gets_its_embeddings(
    minilm_server: NodeServer, minilm_repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(minilm_repository)
    assert printed_by("pipeline.py", minilm_server, tmp_path) == "['body', 'embedding', 'error'] 384"


def printed_by(name: str, server: NodeServer, folder: Path) -> str:
    """What a program of the README prints in `folder`, with the address of `server` in the place of its own."""
    found = re.search(rf"    # {re.escape(name)}\n((?:    .*\n|\n)+)", README.read_text())
    assert found is not None
    code = re.sub(r"(?m)^    ", "", found[1])
    assert "localhost:8001" in code
    (folder / name).write_text(code.replace("localhost:8001", server.grpc_url))
    quiet = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(README.parent)}
    done = subprocess.run(
        [sys.executable, name], cwd=folder, env=os.environ | quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
