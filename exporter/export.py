"""The story of an export: a source is opened, converted, proven, and published in one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from exporter.errors import ExportError
from exporter.padding import prove_padding
from exporter.parity import Exported, prove
from exporter.sources.base import Source
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec
from triton_models.card import Card
from triton_models.config import MODEL_FILE, model_config
from triton_models.repository.publish import Published, check_publishable, publish, staging
from triton_models.storage import Storage

TOOLS = ("rayton", "torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime")


def export(spec: ExportSpec, repository: Storage, say: Callable[[str], None] = lambda step: None) -> Published:
    """Makes a source the next version of a model; `say` hears each step as it begins.

    Raises RaytonError, mostly ExportError; then nothing was published.
    """
    say(f"opening {spec.source}")
    source = open_source(spec)
    config = model_config(
        spec.name, source.inputs, source.outputs, spec.max_batch_size, instances=spec.tuning.instances
    )
    check_publishable(repository, config)
    with _disk_explained(repository), staging(repository) as folder:
        say("converting to ONNX")
        source.write(folder)
        say("comparing the export with its source")
        card = proven(source, Exported(folder / MODEL_FILE), spec)
        say(f"publishing to {repository.uri}")
        return publish(repository, folder, card, config)


def proven(source: Source, exported: Exported, spec: ExportSpec) -> Card:
    """The card of an export that passed every proof. Raises ParityError for one that did not."""
    checks, preparation = prove(source, exported, spec.max_batch_size, spec.limits), source.preparation
    if source.texts is not None:
        preparation, padding = prove_padding(source.texts, source.outputs, exported, spec.limits)
        checks += padding
    return Card(
        inputs=source.inputs,
        outputs=source.outputs,
        max_batch_size=spec.max_batch_size,
        preparation=preparation,
        source=source.label,
        checks=checks,
        labels=source.labels,
        target=spec.target_triton,
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
