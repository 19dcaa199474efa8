"""Step by step more of a model stays 32-bit, until its answers are near enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.errors import ParityError

SHARES = (16, 8, 4, 2)
"""The worst sixteenth of the nodes stays 32-bit, then an eighth, and so on up to half; beyond, little is won."""


@dataclass(frozen=True)
class Step:
    """One attempt: `kept` are the nodes that stay 32-bit, `told` is what the card says of them."""

    kept: frozenset[str]
    told: tuple[str, ...]


def climb(precision: str, steps: Iterable[Step], attempt: Callable[[Step], None]) -> Step:
    """The first step whose attempt raises no ParityError.

    Raises ParityError, with what the first and the last attempt were refused for, if none is left.
    """
    refusals: list[ParityError] = []
    kept = 0
    for step in steps:
        try:
            attempt(step)
        except ParityError as error:
            refusals.append(error)
            kept = len(step.kept)
        else:
            return step
    if len(refusals) == 1:
        raise refusals[0]
    raise ParityError(
        f"{precision} moves the answers too far in each of {len(refusals)} attempts. All of it: {refusals[0]}. With "
        f"{kept} nodes left in 32 bits: {refusals[-1]}. Use --precision fp32, or loosen the limits if this is good "
        "enough"
    )


def worst_first(measured: Callable[[], Mapping[str, float]]) -> Iterator[Step]:
    """Everything is lowered, then all but the nodes that lose most, in growing shares; one node at least is lowered.

    What each node loses is `measured` only when the first step did not do.
    """
    yield Step(frozenset(), ())
    losses = measured()
    ordered, reached = sorted(losses, key=lambda name: -losses[name]), 0
    for share in SHARES:
        count = -(-len(ordered) // share)
        if reached < count < len(ordered):
            reached = count
            yield Step(frozenset(ordered[:count]), tuple(ordered[:count]))


def distinct(steps: Iterable[Step]) -> Iterator[Step]:
    """Leaves out a step that keeps what an earlier one kept."""
    seen: set[frozenset[str]] = set()
    for step in steps:
        if step.kept not in seen:
            seen.add(step.kept)
            yield step
