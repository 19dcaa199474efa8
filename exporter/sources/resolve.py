"""Chooses what opens a source."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import SourceError
from exporter.image.source import ImageOptions, parse_image_options, with_image_input
from exporter.sources.base import Source
from exporter.sources.hub import download, looks_like_hub_id
from exporter.sources.overrides import overridden, parse_dynamic
from exporter.spec import ExportSpec

FORMS = (
    "a source is one of: a folder of a sentence-transformers or Hugging Face model, or its id on the hub; "
    "package.module:factory or path/to/file.py:factory; a file that ends in .onnx or .pt2"
)


def open_source(spec: ExportSpec) -> Source:
    """Opens the source that a spec names, with the tensors that it asks for. Raises ExportError, mostly SourceError."""
    image = parse_image_options(spec.image, spec.normalize, spec.layout) if spec.image is not None else None
    path = Path(spec.source).expanduser()
    if path.is_dir():
        source = _folder(path, None, spec, image)
    elif looks_like_hub_id(spec.source):
        folder, label = download(spec.source, trust_remote_code=spec.trust_remote_code)
        source = _folder(folder, label, spec, image)
    else:
        source = _other(path, spec)
    source = overridden(source, spec.input_names, spec.output_names, spec.outputs)
    if image is not None and source.preparation.kind != "image":
        source = with_image_input(source, image)
    return source


def _folder(path: Path, label: str | None, spec: ExportSpec, image: ImageOptions | None) -> Source:
    if not any((path / name).is_file() for name in ("config.json", "modules.json")):
        raise SourceError(f"{path} holds neither config.json nor modules.json, so it is no model folder; {FORMS}")
    if spec.dynamic:
        raise SourceError("--dynamic is for Python factories; which axes of this model move is known")
    from exporter.sources.hugging_face import open_folder

    return open_folder(
        path, spec.max_tokens, spec.trust_remote_code, spec.target, label=label, pair=spec.pair, image=image
    )


def _other(path: Path, spec: ExportSpec) -> Source:
    """A file, or a function in one. Each kind loads its own libraries."""
    if spec.max_tokens is not None or spec.pair:
        raise SourceError("--max-tokens and --pair are for models that read texts; this source is not a folder of one")
    place, colon, name = spec.source.rpartition(":")
    if path.suffix not in (".onnx", ".pt2") and colon and place and name.isidentifier():
        from exporter.sources.python_factory import open_factory

        return open_factory(spec.source, parse_dynamic(spec.dynamic) if spec.dynamic else None, spec.target)
    if path.suffix not in (".onnx", ".pt2"):
        raise SourceError(f"{spec.source} {'is not a source' if path.exists() else 'is not there'}; {FORMS}")
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    if spec.dynamic:
        raise SourceError(f"--dynamic is for Python factories; which axes move is written in {path.name}")
    if path.suffix == ".pt2":
        from exporter.sources.program import open_program

        return open_program(path, spec.target)
    from exporter.sources.onnx_file import open_onnx

    return open_onnx(path, spec.target)
