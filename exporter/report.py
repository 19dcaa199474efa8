"""What a person sees after an export: the checks with their figures, where the version lies, what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from triton_models.card import Card, ImagePreparation, Preparation, TextPreparation
from triton_models.history.tables import checks_table, precision_table
from triton_models.repository.publish import Published
from triton_models.tensors import TensorSpec


def show(published: Published, repository: str, cautions: Sequence[str], console: Console) -> None:
    """Prints the report of one export; `cautions` are about the config that the version is served with."""
    console.print(report(published, repository, cautions), soft_wrap=True)


def report(published: Published, repository: str, cautions: Sequence[str]) -> RenderableType:
    """The report as rich renders it."""
    card = published.card
    lines = [
        f"{published.name} version {published.version} is published: {published.uri}",
        f"  takes  {_tensors(card.inputs)}, {_rows(card)}",
        f"  gives  {_tensors(card.outputs)}",
        *_reads(card.preparation),
        f"  twice  the same input gave {'the same bytes' if card.deterministic else 'OTHER bytes'}",
        *_kept(published.kept),
        *(f"Caution: {caution}" for caution in cautions),
        f"Next: rayton serve --repository {repository}",
    ]
    figures = [precision_table(card.precision)] if card.precision.figures else []
    return Group(checks_table(card), *figures, Text("\n".join(lines)))


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


def _padding(preparation: TextPreparation) -> str:
    if preparation.padding_free:
        return "padding does not change their answers"
    return "how far they are padded changes their answers, so they are not sorted by length"


def _kept(differences: Sequence[str]) -> list[str]:
    if not differences:
        return []
    told = "; ".join(differences)
    return [f"The config.pbtxt of the repository was kept. It has {told}. --replace-config writes that of this export."]


def _tensors(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(map(str, tensors))
