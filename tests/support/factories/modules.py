"""Factories as users write them, for models that can be exported and for models that cannot."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Examples = tuple[torch.Tensor, ...] | dict[str, torch.Tensor]
Made = tuple[nn.Module, Examples]
MadeMoving = tuple[nn.Module, Examples, dict[str, dict[int, str]]]


class Formula(nn.Module):
    """A module whose forward is one function."""

    def __init__(self, formula: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: torch.Tensor) -> object:
        return self.formula(x)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x)
        return found


class Image(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.classes = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        features = torch.relu(self.convolution(image))
        return {"output": self.classes(features.mean((2, 3))), "features": features}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(4, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.cells(x)[0]
        return found


class KeywordOnly(nn.Module):
    def forward(self, a: torch.Tensor, *, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + b, a - b


class Colliding(nn.Module):
    """PyTorch calls inner values of its graph after the operators: embedding, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.linear(self.table(x)).mean(1)
        return {"embedding": found, "linear": 2 * found}


class MadeForTwoRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.ones(2, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.rows


def mlp() -> Made:
    return Mlp(), (torch.randn(1, 4),)


def moving_image() -> MadeMoving:
    return Image(), {"image": torch.randn(1, 3, 16, 16)}, {"image": {2: "height", 3: "width"}}


def fixed_image() -> Made:
    return Image(), (torch.zeros(1, 3, 16, 16),)


class Halving(nn.Module):
    """Sixteen and seventeen steps both give eight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool1d(x, 2)


def halving() -> MadeMoving:
    return Halving(), (torch.randn(1, 3, 16),), {"x": {2: "steps"}}


class WritesIntoItsInput(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


def writes_into_its_input() -> Made:
    return WritesIntoItsInput(), (torch.randn(1, 4),)


def recurrent() -> MadeMoving:
    return Recurrent(), (torch.randn(2, 5, 4),), {"x": {1: "steps"}}


def keyword_only() -> Made:
    return KeywordOnly(), {"b": torch.randn(1, 3), "a": torch.randn(1, 3)}


def colliding() -> MadeMoving:
    return Colliding(), (torch.tensor([[0, 1, 2]]),), {"x": {1: "tokens"}}


def passed_through() -> Made:
    return Formula(lambda x: (x, x * 2, x)), (torch.randn(1, 4),)


def half() -> Made:
    return nn.Linear(4, 4).half(), (torch.randn(1, 4).half(),)


def bytes_in_labels_out() -> Made:
    formula = Formula(lambda x: {"label": x.float().argmax(1), "dark": x.float().mean(1) < 90})
    return Renamed(formula), {"pixels": torch.randint(0, 255, (5, 6), dtype=torch.uint8)}


class Renamed(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: torch.Tensor) -> object:
        return self.inner(pixels)


def left_in_training() -> Made:
    return nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5)).train(), (torch.randn(3, 4),)


def keeps_batch_statistics() -> Made:
    """No running statistics: those of the batch are used in inference mode as well."""
    return nn.Sequential(nn.Conv1d(4, 3, 1), nn.BatchNorm1d(3, track_running_stats=False)), (torch.randn(2, 4, 5),)


class BackInTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> object:
        return self.norm.train()(x)


def back_in_training() -> Made:
    return BackInTraining(), (torch.randn(2, 4, 5),)


def called_like_its_input() -> Made:
    return Formula(lambda x: {"x": x + 1}), (torch.randn(1, 4),)


def nested_outputs() -> Made:
    return Formula(lambda x: {"a": x, "b": (x + 1, None, {"c": x + 2}), "d": None}), (torch.randn(1, 4),)


def two_outputs_of_one_name() -> Made:
    return Formula(lambda x: {"a_0": x, "a": (x,)}), (torch.randn(1, 4),)


def returns_a_number() -> Made:
    return Formula(lambda x: {"output": x, "loss": 0.5}), (torch.randn(1, 4),)


def loop_over_rows() -> Made:
    return Formula(lambda x: torch.stack([row * 2 for row in x])), (torch.randn(1, 4),)


def made_for_two_rows() -> Made:
    return MadeForTwoRows(), (torch.randn(2, 4),)


def no_rows_in_answer() -> Made:
    return Formula(lambda x: x.sum()), (torch.randn(1, 4),)


def strange_operator() -> Made:
    return Formula(torch.special.bessel_j0), (torch.randn(1, 4),)


def chooses_its_way() -> Made:
    return Formula(lambda x: x * 2 if x.sum() > 0 else x), (torch.randn(1, 4),)


def mixes_rows() -> Made:
    return Formula(lambda x: x - x.mean(0, keepdim=True)), (torch.randn(1, 4),)


def not_numbers() -> Made:
    return Formula(lambda x: torch.log(-x.abs())), (torch.randn(1, 4),)


def random_answers() -> Made:
    return Formula(lambda x: x + torch.rand_like(x)), (torch.randn(1, 4),)


def axis_that_cannot_move() -> MadeMoving:
    return nn.Linear(4, 4), (torch.randn(1, 4),), {"input": {1: "width"}}


def no_examples() -> nn.Module:
    return nn.Linear(4, 4)


def fails() -> Made:
    raise ZeroDivisionError("division by zero")
