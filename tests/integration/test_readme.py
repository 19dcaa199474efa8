"""The client in the README, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from triton_models.server.process import NodeServer

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_client_in_the_readme_gets_its_embeddings(
    minilm_server: NodeServer, minilm_repository: Path, tmp_path: Path
) -> None:
    found = re.search(r"    # client\.py\n((?:    .*\n|\n)+)", README.read_text())
    assert found is not None
    code = re.sub(r"(?m)^    ", "", found[1])
    assert "localhost:8001" in code
    (tmp_path / "client.py").write_text(code.replace("localhost:8001", minilm_server.grpc_url))
    (tmp_path / "models").symlink_to(minilm_repository)

    done = subprocess.run([sys.executable, "client.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "(2, 384)", done.stderr
