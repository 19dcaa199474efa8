"""Who hears of what holds at a server, beside those who keep to it."""

from __future__ import annotations

from typing import Protocol

from ray_pipeline.sharing.limit import Limit


class Listener(Protocol):
    """Hears of it from any thread."""

    def limited(self, limit: Limit) -> None:
        """Something else holds now."""
        ...

    def canary(self, took_s: float, *, silent: bool) -> None:
        """A request like that of a user was answered after `took_s` seconds, while bulk was `silent` or not."""
        ...


class NoListener:
    """Nobody hears."""

    def limited(self, limit: Limit) -> None:
        """Says nothing."""

    def canary(self, took_s: float, *, silent: bool) -> None:
        """Says nothing."""
