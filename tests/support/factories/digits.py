"""A small convolutional network, trained on scikit-learn's handwritten digits in a few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

HELD_OUT = 360

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


def split() -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Images [rows, 1, 8, 8] between 0 and 1 and their labels: those to learn from, and those held out."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = (digits.images[order, None] / 16).astype(np.float32), digits.target[order]
    return (images[HELD_OUT:], labels[HELD_OUT:]), (images[:HELD_OUT], labels[:HELD_OUT])


class Digits(nn.Module):
    """[batch, 1, 8, 8] -> ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(32 * 4 * 4, 10),
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layers(image)}


def trained() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """The network after fifteen rounds through the digits to learn from, with an example of one image."""
    network = Digits()
    network.load_state_dict(_learned())
    return network, (torch.from_numpy(split()[0][0][:1]),)


@cache
def _learned() -> dict[str, Any]:
    images, labels = map(torch.from_numpy, split()[0])
    torch.manual_seed(0)
    network = Digits()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    with _one_thread():
        for _ in range(15):
            for rows in torch.randperm(len(images)).split(64):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images[rows])["logits"], labels[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return network.state_dict()


@contextmanager
def _one_thread() -> Iterator[None]:
    """More make so small a network no faster, and much slower where they wait for each other on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def accuracy(logits: NDArray[np.float32], labels: Labels) -> float:
    """The share of rows whose largest logit is that of their label."""
    return float((logits.argmax(axis=1) == labels).mean())
