from __future__ import annotations

from itertools import pairwise

import pytest

from exporter.errors import ExportError
from exporter.target import DEFAULT_TARGET, TARGETS, WRITTEN_OPSET, target_of


@pytest.mark.parametrize(
    ("release", "onnxruntime", "opset", "ir_version"),
    [("24.10", "1.19.2", 21, 10), ("25.10", "1.23.1", 23, 11), ("26.04", "1.24.4", 25, 13)],
)
def test_a_release_is_known_by_its_onnxruntime(release: str, onnxruntime: str, opset: int, ir_version: int) -> None:
    target = target_of(release)
    assert (target.onnxruntime, target.opset, target.ir_version) == (onnxruntime, opset, ir_version)


def test_newer_releases_read_at_least_as_much() -> None:
    for older, newer in pairwise(TARGETS):
        assert older.release < newer.release
        assert [int(part) for part in older.onnxruntime.split(".")] <= [
            int(part) for part in newer.onnxruntime.split(".")
        ]
        assert older.opset <= newer.opset
        assert older.ir_version <= newer.ir_version


def test_every_release_reads_what_is_written() -> None:
    assert DEFAULT_TARGET is TARGETS[0]
    assert min(target.opset for target in TARGETS) >= WRITTEN_OPSET


def test_an_unknown_release_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ExportError, match=r"--target-triton is 23\.01; known are 24\.10 to 26\.08"):
        target_of("23.01")
