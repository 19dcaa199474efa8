"""The errors of this package, and the root of every error that Rayton reports to a person."""

from __future__ import annotations


class RaytonError(Exception):
    """Something a person can act on: what failed, with which value, what to do now.

    The command line prints the message without a traceback and exits with 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        """The message as it was written: Ray Data adds advice of its own to the arguments of an error."""
        return self.message


def cut(text: str, most: int = 60) -> str:
    """What somebody else wrote, no longer than a message bears."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


class CardError(RaytonError):
    """A `card.json` cannot be read, or says something that this release does not understand."""


class ConfigError(RaytonError):
    """A `config.pbtxt` cannot be read, or does not fit what is to be done with it."""


class StorageError(RaytonError):
    """A folder or an object store cannot be reached, read or written."""


class StoreGoneError(StorageError):
    """An object store failed for longer than it was to be waited for."""


class RepositoryError(RaytonError):
    """A model repository does not hold what was asked for, or cannot take what was to be published."""


class ServerError(RaytonError):
    """A node server could not be installed, started, reached or stopped."""
