"""What stands behind a transformer, put into the graph: pooling, dense layers, normalisation, activations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from exporter.errors import SourceError
from exporter.sources.folder import read_json
from exporter.sources.sentence_transformers import Modules, Step

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "Sigmoid": nn.Sigmoid,
}
SMALLEST_COUNT = 1e-9
"""Keeps a row without tokens from dividing by zero."""


class Encoder(nn.Module):
    """A transformer of texts or images that is called with its tensors by name."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Token tensors [batch, tokens] -> `last_hidden_state` [batch, tokens, width]; of images, what it makes."""
        return {"last_hidden_state": self.transformer(**inputs).last_hidden_state}


class Classifier(nn.Module):
    """A transformer with a classification head."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Token or image tensors -> `logits` [batch, classes], or [batch, tokens, classes] from one for tokens."""
        return {"logits": self.transformer(**inputs).logits}


class CrossEncoder(nn.Module):
    """A classifier of pairs whose logits go through `activation`, as `CrossEncoder.predict` has it."""

    def __init__(self, transformer: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.activation = activation

    def forward(self, **tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Token tensors [batch, tokens] -> `scores` [batch, classes], or [batch] where there is one class."""
        scores = self.activation(self.transformer(**tokens).logits)
        return {"scores": scores.squeeze(-1) if scores.shape[-1] == 1 else scores}


class SentenceEncoder(nn.Module):
    """A transformer whose token vectors become one vector for each text."""

    def __init__(self, transformer: nn.Module, modes: Sequence[str], after: Sequence[nn.Module]) -> None:
        super().__init__()
        self.transformer = transformer
        self.modes = tuple(modes)
        self.after = nn.Sequential(*after)

    def forward(self, **tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Token tensors [batch, tokens] -> `sentence_embedding` [batch, width]."""
        hidden = self.transformer(**tokens).last_hidden_state
        mask = tokens["attention_mask"] if "attention_mask" in tokens else torch.ones_like(tokens["input_ids"])
        vectors = torch.cat([pooled(hidden, mask, mode) for mode in self.modes], dim=-1)
        return {"sentence_embedding": self.after(vectors)}


class Normalize(nn.Module):
    """Gives every vector the length 1."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[batch, width] -> the same, divided by its length."""
        return nn.functional.normalize(vectors, p=2.0, dim=-1)


def pooled(tokens: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    """One vector for each row: [batch, tokens, width] and a mask [batch, tokens] of 0 and 1 -> [batch, width]."""
    if mode == "cls":
        return tokens[:, 0]
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    if mode == "max":
        return tokens.masked_fill(weights == 0, -1e9).amax(dim=1)
    count = weights.sum(dim=1).clamp(min=SMALLEST_COUNT)
    return (tokens * weights).sum(dim=1) / (count.sqrt() if mode == "mean_sqrt_len" else count)


def sentence_encoder(transformer: nn.Module, modules: Modules) -> SentenceEncoder:
    """The whole model that `modules.json` describes. Raises SourceError."""
    return SentenceEncoder(transformer, modules.modes, [_module(step) for step in modules.after])


def _module(step: Step) -> nn.Module:
    if step.kind == "Dense":
        return _dense(step)
    return Normalize() if step.kind == "Normalize" else nn.Dropout()


def _dense(step: Step) -> nn.Module:
    config, path = read_json(step.folder / "config.json"), step.folder / "model.safetensors"
    if not path.is_file():
        raise SourceError(f"{step.folder} has no model.safetensors; save the model again with a newer version")
    activation = activation_called(str(config.get("activation_function", "")), step.folder)
    linear = nn.Linear(config["in_features"], config["out_features"], bias=bool(config.get("bias", True)))
    weights = {name.removeprefix("linear."): tensor.float() for name, tensor in load_file(path).items()}
    try:
        linear.load_state_dict(weights)
    except RuntimeError as error:
        raise SourceError(f"{path} does not fit its config.json: {error}") from error
    return nn.Sequential(linear, activation)


def activation_called(path: str, folder: Path) -> nn.Module:
    """The activation with a name such as `torch.nn.modules.activation.Sigmoid`. Raises SourceError."""
    name = path.rpartition(".")[2]
    if not path.startswith("torch.") or name not in ACTIVATIONS:
        raise SourceError(f"{folder} uses the activation {path!r}; known are torch's {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
