"""Chooses what opens a source."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import SourceError
from exporter.sources.base import Source
from exporter.spec import ExportSpec

FORMS = (
    "a source is one of: a folder of a sentence-transformers or Hugging Face model; package.module:factory or "
    "path/to/file.py:factory; a file that ends in .onnx"
)


def open_source(spec: ExportSpec) -> Source:
    """Opens the source that a spec names. Each kind loads its own libraries. Raises SourceError."""
    path = Path(spec.source).expanduser()
    if path.is_dir():
        return _folder(path, spec)
    if spec.max_tokens is not None:
        raise SourceError("--max-tokens is for models that read texts; this source is not a folder of one")
    if path.suffix == ".onnx":
        if not path.is_file():
            raise SourceError(f"there is no file {path}")
        from exporter.sources.onnx_file import open_onnx

        return open_onnx(path)
    place, colon, name = spec.source.rpartition(":")
    if colon and place and name.isidentifier():
        from exporter.sources.python_factory import open_factory

        return open_factory(spec.source)
    there = "is not a source" if path.exists() else "is not there"
    raise SourceError(f"{spec.source} {there}; {FORMS}")


def _folder(path: Path, spec: ExportSpec) -> Source:
    if not any((path / name).is_file() for name in ("config.json", "modules.json")):
        raise SourceError(f"{path} holds neither config.json nor modules.json, so it is no model folder; {FORMS}")
    from exporter.sources.hugging_face import open_folder

    return open_folder(path, spec.max_tokens, spec.trust_remote_code)
