from __future__ import annotations

import subprocess
import sys

import pytest

import ray_pipeline


def test_what_is_public_is_imported_only_when_it_is_asked_for_and_never_needs_ray() -> None:
    program = (
        "import sys, ray_pipeline\n"
        "assert not {'ray', 'grpc', 'pyarrow'} & sys.modules.keys()\n"
        "assert ray_pipeline.TritonScorer.__name__ == 'TritonScorer'\n"
        "assert 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ray_pipeline' has no attribute 'Scorer'"):
        ray_pipeline.Scorer  # noqa: B018
