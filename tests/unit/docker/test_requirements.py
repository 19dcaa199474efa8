from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def printed(*extras: str) -> list[str]:
    command = [sys.executable, str(ROOT / "docker" / "requirements.py"), str(ROOT / "pyproject.toml"), *extras]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_requirements_are_those_of_the_project_and_of_the_extras_that_are_named() -> None:
    bare, worker, exporter = printed(), printed("score", "observe"), printed("export")
    assert "numpy>=2" in bare
    assert set(bare) <= set(worker) & set(exporter)
    assert any(one.startswith("ray[default]") for one in worker)
    assert [one for one in [*bare, *worker] if one.startswith(("torch", "transformers", "onnx"))] == []
    assert any(one.startswith("torch") for one in exporter)
    assert len(worker) == len(set(worker))
