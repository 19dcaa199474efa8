"""What a person sees after an export: the checks with their figures, where the version lies, what to do next."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from triton_models.card import Card, Check, TextPreparation
from triton_models.repository.publish import Published
from triton_models.tensors import TensorSpec


def show(published: Published, repository: str, console: Console) -> None:
    """Prints the report of one export."""
    console.print(report(published, repository), soft_wrap=True)


def report(published: Published, repository: str) -> RenderableType:
    """The report as rich renders it."""
    card = published.card
    lines = [
        f"{published.name} version {published.version} is published: {published.uri}",
        f"  takes  {_tensors(card.inputs)}, up to {card.max_batch_size} rows a request",
        f"  gives  {_tensors(card.outputs)}",
    ]
    if isinstance(card.preparation, TextPreparation):
        lines.append(f"  reads  texts, up to {card.preparation.max_tokens} tokens; {_padding(card.preparation)}")
    after = f"Next: rayton serve --repository {repository}"
    return Group(_checks(card), Text("\n".join(lines)), Text(after))


def _checks(card: Card) -> Table:
    table = Table(
        title=f"{card.source}: the export against its source", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1)
    )
    table.add_column("check")
    table.add_column("output", no_wrap=True)
    for heading in ("batch", "max abs", "limit", "cosine"):
        table.add_column(heading, justify="right")
    for checks in _alike(card.checks):
        worst = max(checks, key=lambda check: check.max_abs - check.limit)
        table.add_row(
            worst.name,
            worst.output,
            ", ".join(str(check.batch) for check in checks),
            f"{max(check.max_abs for check in checks):.1e}",
            f"{worst.limit:.1e}",
            f"{min(check.cosine for check in checks):.7f}",
            style="yellow" if worst.max_abs > worst.limit else "",
        )
    return table


def _alike(checks: Iterable[Check]) -> list[list[Check]]:
    """Checks that differ in their batch only, in the order in which they ran."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        found.setdefault((check.name, check.output), []).append(check)
    return list(found.values())


def _padding(preparation: TextPreparation) -> str:
    if preparation.padding_free:
        return "padding does not change their answers"
    return "how far they are padded changes their answers, so they are not sorted by length"


def _tensors(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(map(str, tensors))
