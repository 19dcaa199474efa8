"""The story of an export: a source is opened, converted, proven, and published in one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from exporter.errors import ExportError
from exporter.graph.engines import keeps_engines, name_by_content
from exporter.precision.lower import lower
from exporter.proofs.asked import Asked, one_of_each
from exporter.proofs.given import given_cases
from exporter.proofs.prove import Proof, accept, ask_source, prove_file, prove_served
from exporter.proofs.speed import figures
from exporter.sources.base import Case, Source
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec
from triton_models.card import Card, Precision
from triton_models.config.model import MODEL_FILE, model_config
from triton_models.repository.publish import Published, publish
from triton_models.repository.publishable import check_publishable
from triton_models.repository.staging import staging
from triton_models.repository.versions import read_config
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage

TOOLS = ("rayton", "torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime")
Say = Callable[[str], None]


def export(
    spec: ExportSpec, repository: Storage, say: Say = lambda step: None, runtime: Runtime | None = None
) -> Published:
    """Makes a source the next version of a model; `say` hears each step as it begins.

    With a `runtime` the version is also loaded and asked by a real server before it is published. Raises RaytonError,
    mostly ExportError; then nothing was published.
    """
    say(f"opening {spec.source}")
    source = open_source(spec)
    with _disk_explained(repository), staging(repository) as folder:
        asked = ask_source(spec, source)
        config = config_of(spec, source, asked)
        check_publishable(repository, config)
        say("converting to ONNX")
        source.write(folder)
        precision = lowered(spec, source, asked, folder, say)
        served_with = config_served_with(spec, config, repository)
        if keeps_engines(served_with):
            name_by_content(folder / MODEL_FILE)
        say("comparing the export with its source")
        proof = prove_file(spec, source, asked, folder / MODEL_FILE)
        card = card_of(spec, source, proof, precision)
        if runtime is not None:
            say("comparing the answers of a real server with those of the source")
            checks = prove_served(spec, source, asked, folder, served_with, runtime)
            card = replace(card, checks=card.checks + checks)
        say(f"publishing to {repository.uri}")
        return publish(repository, folder, card, config, replace_config=spec.replace_config)


def lowered(spec: ExportSpec, source: Source, asked: Sequence[Asked], folder: Path, say: Say) -> Precision:
    """Lowers the precision of the written model where that is wanted, and measures what it costs and gives."""
    if spec.precision == "fp32":
        return Precision()
    say(f"lowering the precision to {spec.precision}")
    given: list[Case] = []
    if spec.calibration is not None:
        given = given_cases(spec.calibration, source, spec.max_batch_size, "--calibration")
    found = lower(
        folder,
        spec.precision,
        accept=lambda path: accept(spec, source, asked, path),
        probes=[one.case.inputs for one in one_of_each(asked)],
        calibration=[case.inputs for case in given],
    )
    files = {"fp32": found.original, spec.precision: folder / MODEL_FILE}
    return Precision(spec.precision, found.kept_fp32, figures(files, asked, source.outputs, spec.limits))


def config_of(spec: ExportSpec, source: Source, asked: Sequence[Asked]) -> ModelConfig:
    """The config that the version is to be served with; warm-up requests have the shapes of the first case."""
    rows = 0 if spec.unbatched else spec.max_batch_size
    of_row = {name: array.shape[1:] for name, array in asked[0].case.inputs.items()}
    return model_config(
        spec.name,
        source.inputs,
        source.outputs,
        rows,
        spec.tuning,
        warm_up=[of_row],
        precision=spec.precision,
    )


def config_served_with(spec: ExportSpec, config: ModelConfig, repository: Storage) -> ModelConfig:
    """The config of the model that is there, as its operator has tuned it, or else the new one."""
    kept = None if spec.replace_config else read_config(repository, spec.name)
    return kept if kept is not None else config


def card_of(spec: ExportSpec, source: Source, proof: Proof, precision: Precision) -> Card:
    """The card of an export that passed every proof."""
    return Card(
        inputs=source.inputs,
        outputs=source.outputs,
        max_batch_size=0 if spec.unbatched else spec.max_batch_size,
        preparation=proof.preparation,
        source=source.label,
        checks=proof.checks,
        precision=precision,
        labels=source.labels,
        deterministic=proof.is_deterministic,
        target=spec.target.release,
        tools=tool_versions(),
    )


@contextmanager
def _disk_explained(repository: Storage) -> Iterator[None]:
    """A full disk or a folder that may not be written to is for people too."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{repository.uri} cannot be written to ({error}); nothing was published") from error


def tool_versions() -> dict[str, str]:
    """The versions of what takes part in an export and is installed."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found
