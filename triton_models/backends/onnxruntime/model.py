"""Triton's `onnxruntime` backend on top of its Python backend: one ONNX Runtime run for all requests of a call.

Triton loads this file in a process of its own, one for every model instance. It serves the repositories of NVIDIA's
C++ backend of the same name, unchanged. `session.py` opens the model, `signature.py` compares it with its
configuration, `lifeline.py` keeps Triton and this process from losing each other; what is here joins requests, runs
them, and splits the answers.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from triton_models.backends.onnxruntime import lifeline, session, signature
else:  # Triton puts the backend's folder on the path, not the package that it was copied from
    import lifeline
    import session
    import signature

# ONNX Runtime names the source file that an error comes from: of no use to the one who sent the request.
SOURCE_FILE = re.compile(r"/\S+\.(?:cc|cpp|cu|h|cuh)(?::\d+)?\s*")


@dataclass(frozen=True)
class Call:
    """One request: its place in the call, its tensors by name, and the outputs that it asks for."""

    place: int
    feeds: dict[str, np.ndarray[Any, Any]]
    wanted: list[str]

    @property
    def rows(self) -> int:
        """Length of the batch axis; meaningless for a model without one."""
        return len(next(iter(self.feeds.values())))

    @property
    def row_shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """What must be equal in requests that share a run: the inputs there are, and the shape of a row of each."""
        return tuple(sorted((name, array.shape[1:]) for name, array in self.feeds.items()))


class TritonPythonModel:
    """One instance of a model, as Triton's Python backend calls it."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fills in inputs, outputs and `max_batch_size` of a configuration that leaves them out."""
        config = auto_complete_model_config.as_dict()
        if config.get("input") and config.get("output"):
            return auto_complete_model_config
        model = session.open_session(config, Path(pb_utils.get_model_dir()), "CPU", 0)
        complete = signature.completed(config, signature.signature_of(model))
        if complete["max_batch_size"] > 1:
            auto_complete_model_config.set_dynamic_batching()
        config.update(complete)  # the `add_input` of Triton's class would refuse a reshape
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the model of one instance, and refuses a configuration that does not fit it."""
        self.lifeline = lifeline.Lifeline(lifeline.Server.of_this_process())
        config = json.loads(args["model_config"])
        version_folder = Path(args["model_repository"], args["model_version"])
        kind, device_id = args["model_instance_kind"], int(args["model_instance_device_id"])
        self.session = session.open_session(config, version_folder, kind, device_id)
        self.run_options = session.run_options(config)
        graph = signature.signature_of(self.session)
        signature.check(config, graph)
        self.batches = config["max_batch_size"] > 0
        self.scalar_inputs = {tensor.name for tensor in graph.inputs + graph.defaults if not tensor.shape}
        self.dims = {entry["name"]: entry["dims"] for entry in config["output"]}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers all requests, in their order; one that fails does not harm its neighbours."""
        self.lifeline.check()
        answers: dict[int, Any] = {}
        runs: dict[Any, list[Call]] = defaultdict(list)
        for place, request in enumerate(requests):
            try:
                call = self.read(place, request)
            except UnicodeDecodeError as error:
                answers[place] = failure(error)
            else:
                runs[call.row_shapes if self.batches else place].append(call)
        for calls in runs.values():
            answers.update(self.answer(calls))
        self.lifeline.check()
        return [answers[place] for place in range(len(requests))]

    def finalize(self) -> None:
        """Frees the model's memory when it is unloaded."""
        self.lifeline.cut()
        del self.session

    def read(self, place: int, request: Any) -> Call:
        """A request's tensors, which stay where Triton wrote them; only strings must be decoded."""
        feeds = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        for name, array in feeds.items():
            if array.dtype == np.object_:
                feeds[name] = decoded(array)
            if name in self.scalar_inputs:
                feeds[name] = feeds[name].reshape(())
        return Call(place, feeds, list(request.requested_output_names()))

    def answer(self, calls: Sequence[Call]) -> dict[int, Any]:
        """The responses of requests that can share a run, by their places."""
        try:
            return self.run(calls)
        except Exception as error:  # whatever went wrong, the server and the other requests must live on
            if len(calls) == 1:
                return {calls[0].place: failure(error)}
        return {place: response for call in calls for place, response in self.answer([call]).items()}

    def run(self, calls: Sequence[Call]) -> dict[int, Any]:
        """Runs the model once on the rows of all calls and gives each call its own rows back."""
        wanted = sorted({name for call in calls for name in call.wanted})
        arrays = dict(zip(wanted, self.session.run(wanted, joined(calls), self.run_options), strict=True))
        arrays = {name: array if array.ndim else array.reshape(self.dims[name]) for name, array in arrays.items()}
        if not self.batches:
            return {calls[0].place: response(arrays, calls[0].wanted)}
        total_rows = sum(call.rows for call in calls)
        for name, array in arrays.items():
            if len(array) != total_rows:
                raise ValueError(f"output '{name}' has {len(array)} rows for a batch of {total_rows}")
        answers, start = {}, 0
        for call in calls:
            own_rows = {name: arrays[name][start : start + call.rows] for name in call.wanted}
            answers[call.place] = response(own_rows, call.wanted)
            start += call.rows
        return answers


def joined(calls: Sequence[Call]) -> dict[str, np.ndarray[Any, Any]]:
    """The rows of all calls in one array for each input; those of a single call are not copied."""
    if len(calls) == 1:
        return calls[0].feeds
    return {name: np.concatenate([call.feeds[name] for call in calls]) for name in calls[0].feeds}


def decoded(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Triton's bytes as the text that ONNX Runtime takes; raises UnicodeDecodeError."""
    text = np.array([element.decode() for element in array.flat], np.object_)
    return text.reshape(array.shape)


def response(arrays: dict[str, np.ndarray[Any, Any]], wanted: Iterable[str]) -> Any:
    """Triton's response with the outputs that a request asks for."""
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, arrays[name]) for name in wanted])


def failure(error: Exception) -> Any:
    """Triton's response for a request that cannot be answered: the reason, and no place in any source."""
    caller_is_wrong = isinstance(error, UnicodeDecodeError) or type(error).__name__ == "InvalidArgument"
    code = pb_utils.TritonError.INVALID_ARG if caller_is_wrong else pb_utils.TritonError.INTERNAL
    reason = SOURCE_FILE.sub("", str(error))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnx runtime error: {reason}", code))
