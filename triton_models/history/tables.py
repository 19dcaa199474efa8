"""The figures of a card as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from triton_models.card import Card, Check, Precision


def plain_table(title: str, left: Iterable[str], right: Iterable[str] = ()) -> Table:
    """An empty table whose first columns hold words and whose last ones hold numbers."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def add_row(table: Table, *cells: str, style: str = "") -> None:
    """Adds a row whose cells are shown letter by letter, also where they hold brackets."""
    table.add_row(*map(Text, cells), style=style)


def checks_table(card: Card) -> Table:
    """The checks that a version passed, one line for those that differ in their batch only."""
    several = len(card.outputs) > 1
    what = card.source if several else f"{card.source}, output {card.outputs[0].name}"
    names = ("check", "output") if several else ("check",)
    figures = ("batch", "max abs", "limit", "max rel", "cosine")
    table = plain_table(f"{what}: the export against its source", names, figures)
    for checks in _alike(card.checks):
        worst = max(checks, key=lambda check: check.strain)
        add_row(
            table,
            *((worst.name, worst.output) if several else (worst.name,)),
            ", ".join(str(batch) for batch in sorted({check.batch for check in checks})),
            f"{max(check.max_abs for check in checks):.1e}",
            f"{worst.limit:.1e}",
            f"{max(check.max_rel for check in checks):.1e}",
            f"{min(check.cosine for check in checks):.6f}",
            style="yellow" if worst.strain > 1 else "",
        )
    return table


def precision_table(precision: Precision) -> Table:
    """What the precision of a version costs and gives, beside fp32."""
    kept = f"; in fp32 stay {', '.join(precision.kept_fp32)}" if precision.kept_fp32 else ""
    title = f"{precision.name}{kept}: measured on the machine of the export"
    table = plain_table(title, ("precision",), ("size", "rows/s", "against fp32", "worst cosine"))
    base = precision.figures[0]
    for figures in precision.figures:
        add_row(
            table,
            figures.precision,
            size(figures.bytes),
            f"{figures.rows_per_s:,.0f}",
            f"{figures.rows_per_s / base.rows_per_s:.2f}x",
            f"{figures.cosine:.5f}",
        )
    return table


def size(number: int) -> str:
    """Bytes as a person reads them, such as `90.4 MB`."""
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number / 1e3:.1f} kB"


def _alike(checks: Iterable[Check]) -> list[list[Check]]:
    """Checks that differ in their batch only, in the order in which they ran."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        found.setdefault((check.name, check.output), []).append(check)
    return list(found.values())
