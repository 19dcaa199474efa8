"""Runs the ONNX file of a version, as the server will."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.arrays import Array, Tensors
from exporter.errors import ParityError

if TYPE_CHECKING:
    import onnxruntime


class Exported:
    """The ONNX file of a version, run by ONNX Runtime on this machine's processor."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Loads the file; 0 threads are all. Raises ParityError if ONNX Runtime refuses it."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its warnings are about speed; errors are raised
        options.intra_op_num_threads = threads
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common type but this
            raise ParityError(f"ONNX Runtime does not load the model: {error}") from error
        self.names = [output.name for output in self._session.get_outputs()]

    def answers(self, inputs: Tensors) -> dict[str, Array]:
        """What the exported model answers. Raises ParityError, with the shapes, if it fails."""
        try:
            found = self._session.run(self.names, dict(inputs))
        except Exception as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
            raise ParityError(f"the exported model fails on {shapes}: {error}") from error
        return dict(zip(self.names, found, strict=True))
