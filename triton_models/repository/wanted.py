"""What a repository asks its servers to serve: of each model the versions that its config's policy chooses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelVersionPolicy

from triton_models.card import Card
from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository import layout
from triton_models.repository.foreign import refuse_code
from triton_models.repository.versions import no_model, numbers, read_config
from triton_models.storage import Storage


@dataclass(frozen=True)
class Wanted:
    """The versions of one model that are to be served, each with the bytes of its card.

    `config` is the text of the repository's config, but for its version policy, which names exactly these versions.
    """

    name: str
    config: str
    cards: dict[int, bytes]


def wanted(repository: Storage, name: str) -> Wanted:
    """What is to be served of a model at this moment. Only a version with a card counts: its upload has ended.

    Raises RepositoryError if there is no such model, if none of the versions is whole, or if something in a bucket
    would make a server run code; CardError, ConfigError, StorageError.
    """
    config = read_config(repository, name)
    if config is None:
        raise no_model(repository, name)
    cards = _chosen(repository, name, config.version_policy)
    for version, content in cards.items():
        where = f"{repository.uri}/{layout.card_path(name, version)}"
        refuse_code(repository, config, card_of(content, where), version)
    return Wanted(name, to_pbtxt(naming(config, sorted(cards))), cards)


def naming(config: ModelConfig, versions: list[int]) -> ModelConfig:
    """The config with a version policy that names exactly these versions."""
    specific = ModelConfig()
    specific.CopyFrom(config)
    specific.version_policy.CopyFrom(ModelVersionPolicy(specific=ModelVersionPolicy.Specific(versions=versions)))
    return specific


def stamps(repository: Storage, model: Wanted) -> tuple[str, ...]:
    """What changes when somebody writes a file of these versions anew, be it with equal cards. Raises StorageError."""
    folders = (repository.at(layout.version_path(model.name, version)) for version in model.cards)
    return tuple(f"{one.path} {one.stamp}" for folder in folders for one in folder.objects())


def card_of(content: bytes, where: str) -> Card:
    """The card that is written in these bytes; `where` names it in errors. Raises CardError."""
    return Card.from_json(content.decode(errors="replace"), where)


def _chosen(repository: Storage, name: str, policy: ModelVersionPolicy) -> dict[int, bytes]:
    if policy.WhichOneof("policy_choice") == "specific":
        asked = sorted(policy.specific.versions)
        found = dict(_whole(repository, name, asked))
        if missing := [number for number in asked if number not in found]:
            raise RepositoryError(
                f"the config of {name} in {repository.uri} asks for version {missing[0]}, which is not there; "
                "correct its version_policy"
            )
        return found
    limit = None if policy.HasField("all") else max(policy.latest.num_versions, 1)
    found = {}
    for number, card in _whole(repository, name, reversed(numbers(repository, name))):
        found[number] = card
        if len(found) == limit:
            break
    if not found:
        raise RepositoryError(f"{repository.uri} has no version of {name} that is complete; export it again")
    return found


def _whole(repository: Storage, name: str, candidates: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    for number in candidates:
        try:
            yield number, repository.read(layout.card_path(name, number))
        except FileNotFoundError:
            continue
