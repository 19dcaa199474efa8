"""One factory for each kind of model that can be exported. Every call returns the same weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

Axes = dict[str, dict[int, str]]


class Pictures(nn.Module):
    """[batch, 3, height, width] -> a dict of classes and of features as large as half the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1)
        )
        self.classes = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.layers(image)
        return {"classes": self.classes(features.mean((2, 3))), "features": features}


def pictures() -> tuple[nn.Module, dict[str, torch.Tensor], Axes]:
    torch.manual_seed(0)
    module = Pictures()
    module.train()(torch.randn(16, 3, 8, 8) + 1)  # statistics that differ from their first values
    return module, {"image": torch.randn(2, 3, 12, 16)}, {"image": {2: "height", 3: "width"}}


class Recurrent(nn.Module):
    """[batch, steps, 4] -> the states of all steps and the last one."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.cells = kind(4, 6, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = self.cells(x)[0]
        return states, states[:, -1]


def lstm() -> tuple[nn.Module, tuple[torch.Tensor], Axes]:
    torch.manual_seed(0)
    return Recurrent(nn.LSTM), (torch.randn(2, 5, 4),), {"x": {1: "steps"}}


def gru() -> tuple[nn.Module, tuple[torch.Tensor], Axes]:
    torch.manual_seed(0)
    return Recurrent(nn.GRU), (torch.randn(2, 5, 4),), {"x": {1: "steps"}}


class Encoder(nn.Module):
    """Token ids and a mask, both [batch, tokens] INT64 -> the mean of the tokens that are there."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.layers(self.table(ids), src_key_padding_mask=mask == 0)
        there = mask.unsqueeze(-1)
        return {"mean": (found * there).sum(1) / there.sum(1)}


def encoder() -> tuple[nn.Module, dict[str, torch.Tensor], Axes]:
    torch.manual_seed(0)
    ids = torch.arange(14).reshape(2, 7)
    # Few zeros: other masks are drawn from this one, and a row without any token has no mean.
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    return Encoder(), {"ids": ids, "mask": mask}, {"ids": {1: "tokens"}, "mask": {1: "tokens"}}


@dataclass
class Found:
    score: torch.Tensor
    parts: tuple[torch.Tensor, torch.Tensor]
    nothing: torch.Tensor | None = None


class Mixed(nn.Module):
    """Inputs of five types -> a dataclass with a tuple inside and an optional field that stays empty."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 3)

    def forward(
        self, kind: torch.Tensor, count: torch.Tensor, flag: torch.Tensor, pixels: torch.Tensor, weight: torch.Tensor
    ) -> Found:
        light = pixels.float().mean(1, keepdim=True) / 255
        score = torch.where(flag[:, None], self.table(kind) * count[:, None], light.expand(-1, 3))
        return Found(score, (weight.half() * 2, score.argmax(1)))


def mixed() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return Mixed(), {
        "kind": torch.tensor([0, 5, 8]),
        "count": torch.tensor([1, 2, 3], dtype=torch.int32),
        "flag": torch.tensor([True, False, True]),
        "pixels": torch.randint(0, 255, (3, 4), dtype=torch.uint8),
        "weight": torch.randn(3, 2).half(),
    }


class Branches(nn.Module):
    """[batch, steps, 4]: a branch for each element, and one of the whole graph for long inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.short, self.long = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        whole = torch.cond(x.shape[1] > 5, lambda x: self.long(x), lambda x: self.short(x), (x,))
        return torch.where(x > 0, x, x * 0.1), whole


def branches() -> tuple[nn.Module, tuple[torch.Tensor], Axes]:
    torch.manual_seed(0)
    return Branches(), (torch.randn(2, 5, 4),), {"x": {1: "steps"}}


class Perceptron(nn.Module):
    """[batch, 4] -> [batch, 2], for programs and ONNX files."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x)
        return found


def perceptron() -> tuple[nn.Module, tuple[torch.Tensor]]:
    torch.manual_seed(0)
    return Perceptron(), (torch.randn(2, 4),)
