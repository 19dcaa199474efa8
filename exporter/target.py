"""What the servers read: the oldest ONNX Runtime behind our repositories is the 1.19 of Triton 24.10."""

from __future__ import annotations

SERVER = "Triton 24.10"
NEWEST_OPSET = 21
NEWEST_IR = 10
OPSET = 20
"""What is written: PyTorch's own default."""
LARGEST_INLINE_BYTES = 1_800_000_000
"""Weights beyond this go into a file of their own: Protobuf ends at 2 GiB, and the graph needs room as well."""
