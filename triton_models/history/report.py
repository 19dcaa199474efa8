"""What `rayton models` shows: a repository, a card, the difference of two versions, what was removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from triton_models.card import Card, ImagePreparation, Preparation, TextPreparation
from triton_models.history.tables import add_row, checks_table, plain_table, precision_table, size
from triton_models.repository.clean import Removed
from triton_models.repository.differences import Difference
from triton_models.repository.overview import ModelSummary
from triton_models.tensors import TensorSpec


def overview(found: Sequence[ModelSummary], uri: str) -> RenderableType:
    """One line for each model of a repository."""
    if not found:
        return Text(f"there is no model in {uri}")
    table = plain_table(uri, ("model", "current", "versions", "precision", "created", "source", "remarks"), ("size",))
    for model in found:
        card = model.card
        add_row(
            table,
            model.name,
            str(model.current or "-"),
            str(len(model.versions)),
            card.precision.name if card else "-",
            card.created[:16].replace("T", " ") if card else "-",
            card.source if card else "-",
            _remarks(model),
            size(model.bytes),
        )
    return table


def full_card(card: Card, uri: str) -> RenderableType:
    """A card in readable form."""
    rows = "any number of rows" if card.max_batch_size == 0 else f"up to {card.max_batch_size} rows"
    lines = [
        f"{card.name} version {card.version}: {uri}",
        f"  source     {card.source}" + (f", a copy of version {card.copy_of}" if card.copy_of else ""),
        f"  created    {card.created}",
        f"  takes      {_tensors(card.inputs)}, {rows} a request",
        f"  gives      {_tensors(card.outputs)}",
        f"  prepare    {_preparation(card.preparation)}",
        f"  precision  {card.precision.name}",
        f"  repeats    the same input gives {'the same bytes' if card.deterministic else 'other bytes each time'}",
    ]
    if card.labels:
        lines.append(f"  labels     {len(card.labels)}: {_some(card.labels)}")
    if card.target:
        lines.append(f"  needs      Triton {card.target} or newer")
    if card.tools:
        lines.append(f"  made with  {', '.join(f'{tool} {version}' for tool, version in card.tools.items())}")
    files = plain_table("files", ("path", "SHA-256"))
    for path, checksum in card.files.items():
        add_row(files, path, checksum)
    tables = [checks_table(card)] if card.checks else []
    tables += [precision_table(card.precision)] if card.precision.figures else []
    return Group(Text("\n".join(lines)), *tables, files)


def differences(found: Sequence[Difference], name: str, old: int, new: int) -> RenderableType:
    """What differs between two versions of a model."""
    if not found:
        return Text(f"versions {old} and {new} of {name} hold the same")
    table = plain_table(name, ("what", f"version {old}", f"version {new}"))
    for one in found:
        add_row(table, one.field, one.old or "-", one.new or "-")
    return table


def removed(found: Sequence[Removed], *, dry_run: bool) -> RenderableType:
    """What `gc` removed, or would remove."""
    verb = "would be removed" if dry_run else "removed"
    if not found:
        return Text("there is nothing to remove")
    lines = [f"{verb}: {one.what} ({size(one.bytes)}): {one.uri}" for one in found]
    freed = f"{sum(one.bytes for one in found):,} bytes"
    return Text("\n".join([*lines, f"{freed} would become free" if dry_run else f"{freed} are free"]))


def _remarks(model: ModelSummary) -> str:
    found = [model.problem] if model.problem else []
    if model.card is not None and model.card.copy_of:
        found.append(f"a copy of version {model.card.copy_of}")
    if model.unfinished:
        found.append(f"unfinished: {', '.join(map(str, model.unfinished))}")
    return "; ".join(found)


def _preparation(preparation: Preparation) -> str:
    if isinstance(preparation, TextPreparation):
        what = "a pair of texts" if preparation.pair else "a text"
        padding = "does not change" if preparation.padding_free else "changes"
        return f"{what}, up to {preparation.max_tokens} tokens of {preparation.tokenizer}; padding {padding} its answer"
    if isinstance(preparation, ImagePreparation):
        edge = f"shortest edge to {preparation.shortest_edge}, then " if preparation.shortest_edge else ""
        return (
            f"an image: {preparation.channels}, {edge}{preparation.height}x{preparation.width} pixels "
            f"({preparation.resample}), uint8 as {preparation.input}"
        )
    return "nothing: columns go in as they are"


def _some(labels: Sequence[str], most: int = 8) -> str:
    return ", ".join(labels[:most]) + (", ..." if len(labels) > most else "")


def _tensors(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(map(str, tensors))
