"""What the servers read: Triton release -> the ONNX Runtime in it -> the newest opset and IR version it loads."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.errors import ExportError


@dataclass(frozen=True)
class Target:
    """The oldest Triton release that has to load an export, and what its ONNX Runtime understands."""

    release: str
    onnxruntime: str
    opset: int
    ir_version: int

    def __str__(self) -> str:
        return f"Triton {self.release} (ONNX Runtime {self.onnxruntime})"


TARGETS = (
    Target("24.10", "1.19.2", opset=21, ir_version=10),
    Target("25.10", "1.23.1", opset=23, ir_version=11),
    Target("26.04", "1.24.4", opset=24, ir_version=12),
)
DEFAULT_TARGET = TARGETS[0]
WRITTEN_OPSET = 20
"""What is written: PyTorch's own default, which every target reads."""
LARGEST_INLINE_BYTES = 1_800_000_000
"""Weights beyond this go into a file of their own: Protobuf ends at 2 GiB, and the graph needs room as well."""


def target_of(release: str) -> Target:
    """The target of a Triton release such as `24.10`. Raises ExportError, with the releases that are known."""
    for target in TARGETS:
        if target.release == release:
            return target
    known = ", ".join(target.release for target in TARGETS)
    raise ExportError(f"--target-triton is {release}; known are {known}: take the newest that is not newer than yours")
