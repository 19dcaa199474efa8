"""Runs a graph that is in memory, with the weights that lie in the folder of its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from exporter.arrays import Array, Tensors
from exporter.errors import ParityError


def run_in(folder: Path, model: onnx.ModelProto) -> Callable[[Tensors], dict[str, Array]]:
    """What answers as the graph does. It and this function raise ParityError where ONNX Runtime refuses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings are about speed; errors are raised
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common type but this
        raise ParityError(f"ONNX Runtime does not load the model: {error}") from error
    names = [output.name for output in session.get_outputs()]

    def answers(inputs: Tensors) -> dict[str, Array]:
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:
            raise ParityError(str(error)) from error

    return answers
