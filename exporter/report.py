"""What a person sees after an export: the checks with their figures, where the version lies, what to do next."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from triton_models.card import Card, Check, ImagePreparation, Precision, Preparation, TextPreparation
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
        f"  takes  {_tensors(card.inputs)}, {_rows(card)}",
        f"  gives  {_tensors(card.outputs)}",
        *_reads(card.preparation),
        f"  twice  the same input gave {'the same bytes' if card.deterministic else 'OTHER bytes'}",
    ]
    after = f"Next: rayton serve --repository {repository}"
    figures = [_figures(card.precision)] if card.precision.figures else []
    return Group(_checks(card), *figures, Text("\n".join(lines)), Text(after))


def _rows(card: Card) -> str:
    if card.max_batch_size == 0:
        return "any number of rows a request, and no two requests are put together"
    return f"up to {card.max_batch_size} rows a request"


def _reads(preparation: Preparation) -> list[str]:
    if isinstance(preparation, TextPreparation):
        what = "pairs of texts" if preparation.pair else "texts"
        return [f"  reads  {what}, up to {preparation.max_tokens} tokens; {_padding(preparation)}"]
    if isinstance(preparation, ImagePreparation):
        return [f"  reads  images, scaled to {preparation.height}x{preparation.width} by its callers as the card says"]
    return []


def _figures(precision: Precision) -> Table:
    kept = f"; in fp32 stay {', '.join(precision.kept_fp32)}" if precision.kept_fp32 else ""
    title = f"{precision.name}{kept}: measured on this machine"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("precision")
    for heading in ("size", "rows/s", "against fp32", "worst cosine"):
        table.add_column(heading, justify="right")
    base = precision.figures[0]
    for figures in precision.figures:
        table.add_row(
            figures.precision,
            f"{figures.bytes / 1e6:.1f} MB",
            f"{figures.rows_per_s:,.0f}",
            f"{figures.rows_per_s / base.rows_per_s:.2f}x",
            f"{figures.cosine:.5f}",
        )
    return table


def _checks(card: Card) -> Table:
    several = len(card.outputs) > 1
    what = card.source if several else f"{card.source}, output {card.outputs[0].name}"
    table = Table(title=f"{what}: the export against its source", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("check", "output") if several else ("check",):
        table.add_column(heading)
    for heading in ("batch", "max abs", "limit", "max rel", "cosine"):
        table.add_column(heading, justify="right", no_wrap=True)
    for checks in _alike(card.checks):
        worst = max(checks, key=lambda check: check.max_abs - check.limit)
        table.add_row(
            *((worst.name, worst.output) if several else (worst.name,)),
            ", ".join(str(batch) for batch in sorted({check.batch for check in checks})),
            f"{max(check.max_abs for check in checks):.1e}",
            f"{worst.limit:.1e}",
            f"{max(check.max_rel for check in checks):.1e}",
            f"{min(check.cosine for check in checks):.6f}",
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
