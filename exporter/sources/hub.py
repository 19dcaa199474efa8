"""Models by their id on the Hugging Face hub, such as `sentence-transformers/all-MiniLM-L6-v2`."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.errors import SourceError, first_line
from exporter.sources.folder import WEIGHTS
from triton_models.inside import is_inside

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@\w[\w./-]*)?", re.ASCII)
_FILES = (".onnx", ".pt2", ".py")
FETCHED = ("*.json", "*.safetensors", "*.txt")
"""Configs, tokenizers and weights that cannot run code; pickles stay where they are."""
CODE = "*.py"
OTHER_FORMATS = ("onnx/*", "openvino/*")


def looks_like_hub_id(text: str) -> bool:
    """Whether a source is `owner/name` or `owner/name@revision` and nothing that lies on this machine."""
    return _ID.fullmatch(text) is not None and is_inside(text) and not text.endswith(_FILES) and not Path(text).exists()


def download(text: str, *, trust_remote_code: bool = False) -> tuple[Path, str]:
    """Fetches what is not in the hub's cache yet; returns the folder, and `owner/name@commit` for the card.

    Weights come as safetensors only, and code only if it is trusted. Raises SourceError.
    """
    import huggingface_hub

    name, _, revision = text.partition("@")
    try:
        found = huggingface_hub.snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=[*FETCHED, *([CODE] if trust_remote_code else [])],
            ignore_patterns=[*OTHER_FORMATS],
        )
    except Exception as error:  # the hub's errors, those of three network libraries, and those of the disk
        raise SourceError(_explained(text, error), str(error)) from error
    folder = Path(found)
    if not any(path.name in WEIGHTS for path in folder.rglob("*.safetensors*")):
        raise SourceError(
            f"{name} has no weights as safetensors, and pickles are not fetched: opening one can run any code. Look "
            "for a revision of it with safetensors (refs/pr/... on its page), or write them and give the folder"
        )
    return folder, f"{name}@{folder.name[:12]}"


def _explained(text: str, error: Exception) -> str:
    from huggingface_hub import errors

    name, _, revision = text.partition("@")
    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated; accept its terms on its page on the hub, then log in with: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"there is no folder {text}, and the hub shows no model {name}; check the name, or log in with hf auth "
            "login if the model is private"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name} has no revision {revision}; give a branch, a tag or a commit that it has"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"there is no folder {text}, the model is not complete in the hub's cache, and the hub cannot be reached "
            f"from here; fetch it where there is a network with: hf download {name}, and give the folder"
        )
    return f"{text} cannot be fetched from the hub: {first_line(error)}"
