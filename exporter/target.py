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
    Target("24.11", "1.19.2", opset=21, ir_version=10),
    Target("24.12", "1.20.1", opset=21, ir_version=10),
    Target("25.01", "1.20.1", opset=21, ir_version=10),
    Target("25.02", "1.20.1", opset=21, ir_version=10),
    Target("25.03", "1.21.0", opset=22, ir_version=10),
    Target("25.04", "1.21.0", opset=22, ir_version=10),
    Target("25.05", "1.22.0", opset=22, ir_version=10),
    Target("25.06", "1.22.0", opset=22, ir_version=10),
    Target("25.07", "1.22.0", opset=22, ir_version=10),
    Target("25.08", "1.23.0", opset=23, ir_version=11),
    Target("25.09", "1.23.0", opset=23, ir_version=11),
    Target("25.10", "1.23.1", opset=23, ir_version=11),
    Target("25.11", "1.23.2", opset=23, ir_version=11),
    Target("25.12", "1.23.2", opset=23, ir_version=11),
    Target("26.01", "1.23.2", opset=23, ir_version=11),
    Target("26.02", "1.24.1", opset=25, ir_version=13),
    Target("26.03", "1.24.2", opset=25, ir_version=13),
    Target("26.04", "1.24.4", opset=25, ir_version=13),
    Target("26.05", "1.24.4", opset=25, ir_version=13),
    Target("26.06", "1.24.4", opset=25, ir_version=13),
    Target("26.07", "1.27.0", opset=26, ir_version=13),
    Target("26.08", "1.28.0", opset=26, ir_version=13),
)
"""Which ONNX Runtime a release has is written in `build.py` of its branch of Triton; opset and IR version are the
newest that the Python wheel of that ONNX Runtime was seen to load."""
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
    known = f"{TARGETS[0].release} to {TARGETS[-1].release}"
    raise ExportError(f"--target-triton is {release}; known are {known}: take the newest that is not newer than yours")
