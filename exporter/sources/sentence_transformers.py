"""What a sentence-transformers folder says about itself: `modules.json` and one folder for each of its modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import SourceError
from exporter.sources.folder import read_json
from triton_models.inside import is_inside
from triton_models.typed_json import loads

OWNER = "sentence_transformers."
MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
CROSS_ENCODER = "CrossEncoder"
SIGMOID = "torch.nn.modules.activation.Sigmoid"
IDENTITY = "torch.nn.modules.linear.Identity"
LABELS_UNSAID = ("LABEL_0", "LABEL_1")
"""A config.json that names no labels has two."""
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len")
"""In the order in which the vectors of several modes are put side by side."""
WRITTEN_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
AFTER_POOLING = ("Dense", "Dropout", "Normalize")


@dataclass(frozen=True)
class Step:
    """A module behind the pooling: its kind, one of `AFTER_POOLING`, and the folder with its config and weights."""

    kind: str
    folder: Path


@dataclass(frozen=True)
class Modules:
    """A transformer in a folder, pooling by `modes`, then the steps of `after`."""

    transformer: Path
    modes: tuple[str, ...]
    after: tuple[Step, ...]


@dataclass(frozen=True)
class PairScorer:
    """A cross-encoder: a classifier in a folder, and the activation behind it as a path into torch."""

    transformer: Path
    activation: str


def read_modules(folder: Path) -> Modules | None:
    """What `modules.json` lists, or None if there is no such file.

    Raises SourceError for a module that is not known here: leaving one out would change the answers.
    """
    path, listed = folder / MODULES, _listed(folder)
    if listed is None:
        return None
    kinds = [step.kind for step in listed]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise SourceError(f"{path} lists {', '.join(kinds)}; what can be exported begins with Transformer, Pooling")
    unknown = [kind for kind in kinds[2:] if kind not in AFTER_POOLING]
    if unknown:
        raise SourceError(
            f"{path} lists a {unknown[0]} module; known behind the pooling are {', '.join(AFTER_POOLING)}"
        )
    _refuse_prompt(folder)
    return Modules(listed[0].folder, _modes(listed[1].folder), tuple(listed[2:]))


def read_cross_encoder(folder: Path) -> PairScorer | None:
    """What a folder says that was written by `CrossEncoder`, or None if it does not look like one.

    Releases before 5.4 left only the activation, in `config.json`. Raises SourceError for one with further modules.
    """
    settings, listed = read_json(folder / SETTINGS), _listed(folder)
    is_marked = settings.get("model_type") == CROSS_ENCODER
    inner = listed[0].folder if listed else folder
    config = read_json(inner / "config.json")
    newer, older = config.get("sentence_transformers"), config.get("sbert_ce_default_activation_function")
    in_config = newer.get("activation_fn") if isinstance(newer, dict) else older
    if not is_marked and (listed is not None or not in_config):
        return None
    if listed is not None and [step.kind for step in listed] != ["Transformer"]:
        kinds = ", ".join(step.kind for step in listed)
        raise SourceError(f"{folder / MODULES} lists {kinds}; a cross-encoder can be exported if it is one Transformer")
    _refuse_prompt(folder)
    usual = SIGMOID if len(config.get("id2label") or LABELS_UNSAID) == 1 else IDENTITY
    return PairScorer(inner, str(settings.get("activation_fn") or in_config or usual))


def _listed(folder: Path) -> list[Step] | None:
    path = folder / MODULES
    if not path.is_file():
        return None
    try:
        return [Step(_kind(folder, one["type"]), _inner(folder, one["path"])) for one in loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not a list of modules: {error}") from error


def _inner(folder: Path, path: Any) -> Path:
    if not isinstance(path, str):
        raise TypeError(f"the path {path!r} is no text")
    if path and not is_inside(path):
        raise SourceError(f"{folder / MODULES} names {path!r}, which is outside the folder of the model")
    return folder / path


def _kind(folder: Path, written: str) -> str:
    if not written.startswith(OWNER):
        raise SourceError(f"{folder.name} uses {written}, code from outside sentence-transformers, which is not run")
    return written.rpartition(".")[2]


def _modes(folder: Path) -> tuple[str, ...]:
    config = read_json(folder / "config.json")
    if "pooling_mode" in config:
        written = config["pooling_mode"]
        found = [written] if isinstance(written, str) else list(written)
    else:
        chosen = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
        found = [WRITTEN_MODES.get(key, key.removeprefix("pooling_mode_")) for key in chosen]
    unknown = [mode for mode in found if mode not in POOLING_MODES]
    if unknown or not found:
        what = f"pools by {unknown[0]!r}" if unknown else "names no pooling mode"
        raise SourceError(f"{folder / 'config.json'} {what}; known are {', '.join(POOLING_MODES)}")
    return tuple(mode for mode in POOLING_MODES if mode in found)


def _refuse_prompt(folder: Path) -> None:
    config = read_json(folder / SETTINGS)
    prompt = (config.get("prompts") or {}).get(config.get("default_prompt_name"))
    if prompt:
        raise SourceError(
            f"{folder.name} puts {prompt!r} before every text, which a published model cannot do; take "
            "default_prompt_name out of config_sentence_transformers.json and put the prompt into the texts yourself"
        )
