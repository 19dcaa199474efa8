"""A server of this node that serves a copy of a repository, and follows it: what is published there is served here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from triton_models.errors import CardError, ConfigError, RaytonError, RepositoryError, ServerError, StorageError
from triton_models.repository.cache import Cache
from triton_models.repository.versions import models
from triton_models.repository.wanted import Wanted, stamps, wanted
from triton_models.server.errors import BrokenModelError
from triton_models.server.live import load_versions
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage

Say = Callable[[str], None]
AGAIN_S = 600.0
"""When something that could not be served is tried again though nothing has changed: a download may be gigabytes."""


@dataclass(frozen=True)
class Seen:
    """What a repository asked for, and what it holds of that; another stamp is another try."""

    model: Wanted
    stamps: tuple[str, ...]


@dataclass(frozen=True)
class Follower:
    """Keeps a copy, and the server that serves it, in step with the copy's repository.

    `open_repository` gives the repository, or raises StorageError while it cannot be reached. `names` None means every
    model. `say` hears each change and each failure in one line; a failure that goes on is said once. What cannot be
    served (a checksum that differs, a model that fails to load) is tried again when it has changed in the repository,
    and every ten minutes.
    """

    cache: Cache
    open_repository: Callable[[], Storage]
    names: tuple[str, ...] | None
    say: Say
    _refused: dict[str, tuple[Seen, float]] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)

    def start(self, source: Runtime | Path, options: ServerOptions) -> NodeServer:
        """Brings the copy up to date and starts a server with it.

        What cannot be had from the repository is served as it was last, and so is what the server cannot load. Raises
        RaytonError where there is nothing to fall back on.
        """
        former = self.prepare()
        try:
            server = NodeServer.start(source, options)
        except BrokenModelError as error:
            good = {name: config for name, config in former.items() if config is not None}
            if not good:
                raise
            self.say(f"WARNING: {error}; going back to what was served before of {', '.join(sorted(good))}")
            for name, config in good.items():
                self.cache.point(name, config)
            server = NodeServer.start(source, options)
        for name in self.cache.names():
            self.cache.tidy(name)
        return server

    def prepare(self) -> dict[str, str | None]:
        """Checks the copy and brings it up to date; gives the former config of each model that has changed in it.

        Raises RaytonError if something that is wanted is neither to be had nor in the copy.
        """
        good = self._verified()
        try:
            repository = self.open_repository()
            names = self._names(repository)
        except (StorageError, RepositoryError) as error:
            self._fall_back(good, error)
            return {}
        former: dict[str, str | None] = {}
        in_step = [self._bring_up(repository, name, former, has_copy=name in good) for name in names]
        if self.names is None:
            for name in sorted(good - set(names)):
                self.say(f"{name} is no longer in {self.cache.uri}; its copy is removed")
                self.cache.point(name, None)
        if all(in_step):
            self.cache.agree()
        return former

    def _fall_back(self, good: set[str], error: RaytonError) -> None:
        """Says what is served without the repository. Raises the error if it is not all that is wanted."""
        lacking = sorted(set(self.names or ()) - good)
        if not good or lacking:
            what = f"of {lacking[0]} " if lacking and good else ""
            raise type(error)(f"{error}; and there is no copy {what}in {self.cache.folder}") from error
        self.say(f"WARNING: {error}; serving {self._last_copy()}")

    def _bring_up(self, repository: Storage, name: str, former: dict[str, str | None], *, has_copy: bool) -> bool:
        """Whether the copy of a model is now what is wanted; if not, the old one must do. Raises RaytonError."""
        try:
            model = wanted(repository, name)
            if not self.cache.holds(model):
                self.say(f"copying {_what(name, sorted(model.cards))} to {self.cache.folder}")
                self.cache.fetch(repository, model)
                former[name] = self.cache.point(name, model.config)
        except RaytonError as error:
            if not has_copy:
                raise
            self.say(f"WARNING: {error}; serving {_what(name, self.cache.served(name))} from {self._last_copy()}")
            return False
        return True

    def refresh(self, server: NodeServer) -> None:
        """One look at the repository: what is new there is copied and loaded; a failure is a line."""
        try:
            repository = self.open_repository()
            names = self._names(repository)
            if self.names is None:
                for name in sorted(set(self.cache.names()) - set(names)):
                    self._tell(name, f"{name} is no longer in {self.cache.uri}; it is served until a restart")
            in_step = [self._follow(repository, name, server) for name in names]
            if all(in_step):
                self.cache.agree()
        except (RaytonError, OSError) as error:
            self._tell("", f"{error}; going on with the copy")
        else:
            if self._told.pop("", None):
                self.say(f"{self.cache.uri} answers again")

    def _follow(self, repository: Storage, name: str, server: NodeServer) -> bool:
        """Whether a model is served as its repository says, in the end."""
        try:
            model = wanted(repository, name)
            if not self.cache.holds(model):
                seen = Seen(model, stamps(repository, model))
                refused, since = self._refused.get(name, (None, 0.0))
                if refused == seen and time.monotonic() < since + AGAIN_S:
                    return False
                self._take(repository, seen, server)
        except (RaytonError, OSError) as error:
            there = self.cache.served(name)
            going_on = f"; {_what(name, there)} goes on being served" if there else ""
            self._tell(name, f"{error}{going_on}")
            return False
        self._told.pop(name, None)
        return True

    def _take(self, repository: Storage, seen: Seen, server: NodeServer) -> None:
        """Copies a model as it is wanted now and makes the server load it; on failure all is as it was."""
        model, before = seen.model, self.cache.served(seen.model.name)
        try:
            self.cache.fetch(repository, model)
            former = self.cache.point(model.name, model.config)
            try:
                self._load(model.name, server)
            except ServerError:
                self.cache.point(model.name, former)
                if former is not None:
                    with suppress(ServerError):  # the first error is the one to tell
                        self._load(model.name, server)
                raise
        except (RepositoryError, CardError, ConfigError, BrokenModelError):
            self._refused[model.name] = (seen, time.monotonic())
            raise
        self.cache.tidy(model.name)
        now = sorted(model.cards)
        change = f" in place of {_numbers(before)}" if before and before != now else ""
        self.say(f"{_what(model.name, now)} is served now{change}")

    def _load(self, name: str, server: NodeServer) -> None:
        options = server.options
        load_versions(
            server.grpc_url,
            name,
            self.cache.served(name),
            options.start_timeout_s,
            probe=options.probe,
            credentials=server.credentials,
        )

    def _verified(self) -> set[str]:
        """The models of the copy that are what their cards say; the others are removed."""
        good = set()
        for name in self.cache.names():
            if damage := self.cache.drop_damaged(name):
                self.say(f"WARNING: the copy of {name} is damaged and not used: {damage}")
            else:
                self.cache.tidy(name)
                good.add(name)
        return good

    def _names(self, repository: Storage) -> list[str]:
        """What is to be served. A repository without any model is taken for a wrong address, not for an order."""
        names = list(self.names) if self.names is not None else models(repository)
        if not names:
            raise RepositoryError(f"{repository.uri} has no model; export one into it first")
        return names

    def _tell(self, about: str, line: str) -> None:
        if self._told.get(about) != line:
            self._told[about] = line
            self.say(line)

    def _last_copy(self) -> str:
        age_s = self.cache.age_s()
        age = "never complete" if age_s is None else f"{timedelta(seconds=round(age_s))} old"
        return f"the last good copy, {age}, in {self.cache.folder}"


def _what(name: str, versions: list[int]) -> str:
    return f"{name} version {_numbers(versions)}"


def _numbers(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
