"""`rayton models`: list, card, diff, rollback, retire, gc. Imports nothing heavy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from triton_models.access import ControlKeyFile, TlsCa, TlsCert, TlsKey, TlsServerName, credentials_of
from triton_models.lines import progress, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from triton_models.storage import Storage

models_app = typer.Typer(help="The models of a repository and their versions.", no_args_is_help=True)

Repository = Annotated[
    str,
    typer.Option(
        envvar="RAYTON_REPOSITORY", help="The model repository: a folder, s3:// or gs://.", show_default=False
    ),
]
Name = Annotated[str, typer.Argument(help="The model.", show_default=False)]
HOUR_S = 3600.0


def mount(app: typer.Typer) -> None:
    """Adds `models` to a command line."""
    app.add_typer(models_app, name="models")


@models_app.command(name="list")
def list_models(repository: Repository) -> None:
    """Show every model with its current version."""
    from triton_models.history.report import overview
    from triton_models.repository.overview import summaries

    storage = _open(repository)
    _show(overview(summaries(storage), storage.uri))


@models_app.command()
def card(
    name: Name,
    repository: Repository,
    version: Annotated[int | None, typer.Option(min=1, help="The current one by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The file as it is, for programs.")] = False,
) -> None:
    """Show what a version takes and gives, how its input is prepared, and what was proven of it."""
    from triton_models.history.report import full_card
    from triton_models.repository import layout
    from triton_models.repository.versions import newest, read_card

    storage = _open(repository)
    number = version or newest(storage, layout.checked_name(name))
    found = read_card(storage, layout.checked_name(name), number)
    if json:
        print(found.to_json(), end="")
    else:
        _show(full_card(found, f"{storage.uri}/{layout.version_path(name, number)}"))


@models_app.command()
def diff(
    name: Name,
    old: Annotated[int, typer.Argument(min=1, help="A version.", show_default=False)],
    new: Annotated[int, typer.Argument(min=1, help="Another one.", show_default=False)],
    repository: Repository,
) -> None:
    """Show what differs between two versions."""
    from triton_models.history.report import differences
    from triton_models.repository.differences import card_differences
    from triton_models.repository.layout import checked_name
    from triton_models.repository.versions import read_card

    storage = _open(repository)
    cards = [read_card(storage, checked_name(name), version) for version in (old, new)]
    _show(differences(card_differences(*cards), name, old, new))


@models_app.command()
def rollback(
    name: Name,
    repository: Repository,
    to: Annotated[int | None, typer.Option(min=1, help="The version before the current one by default.")] = None,
    load: Annotated[
        list[str] | None, typer.Option(help="host:port (gRPC) of a server that shall load it; may be repeated.")
    ] = None,
    load_timeout_s: Annotated[
        float, typer.Option(min=1, help="How long each server may take to answer with it.")
    ] = 600.0,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
    control_key_file: ControlKeyFile = None,
) -> None:
    """Publish an older version once more, as the next one: the newest number is always the current version."""
    from triton_models.repository.rollback import roll_back
    from triton_models.server.live import check_there, load_everywhere

    addresses = load or []
    credentials = credentials_of(tls_ca, tls_cert, tls_key, tls_server_name, control_key_file)
    check_there(addresses, name, credentials)
    published = roll_back(_open(repository), name, to)
    say(f"{name} version {published.version} is published, a copy of version {published.card.copy_of}: {published.uri}")
    load_everywhere(addresses, name, published.version, load_timeout_s, progress, credentials)
    for address in addresses:
        say(f"{address} answers from version {published.version}")


@models_app.command()
def retire(
    name: Name,
    version: Annotated[int, typer.Argument(min=1, help="Not the current one.", show_default=False)],
    repository: Repository,
) -> None:
    """Take a version away for good. Servers that have loaded it keep it until they load the model again."""
    from triton_models.history.tables import size
    from triton_models.repository.layout import checked_name
    from triton_models.repository.removal import retire as run

    freed = run(_open(repository), checked_name(name), version)
    say(f"{name} version {version} is retired; {size(freed)} are free")


@models_app.command()
def gc(
    repository: Repository,
    keep: Annotated[int, typer.Option(help="How many of the newest versions of each model stay.", show_default=False)],
    name: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    unfinished_after_h: Annotated[
        float, typer.Option(min=0, help="Hours after which an upload that did not end is given up.")
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove old versions, uploads that did not end, and what killed exports left behind."""
    from triton_models.history.report import removed
    from triton_models.repository.clean import clean
    from triton_models.repository.layout import checked_name

    storage = _open(repository)
    wanted = None if name is None else checked_name(name)
    _show(removed(clean(storage, wanted, keep, unfinished_after_h * HOUR_S, dry_run=dry_run), dry_run=dry_run))


def _open(repository: str) -> Storage:
    from triton_models.storage import open_storage

    return open_storage(repository, os.environ.get("AWS_ENDPOINT_URL"))


def _show(what: RenderableType) -> None:
    from rich.console import Console

    Console().print(what, soft_wrap=True)
