"""The errors of a job."""

from __future__ import annotations

from triton_models.errors import RaytonError


class JobFileError(RaytonError):
    """The job file cannot be read or says something that makes no sense."""


class InputError(RaytonError):
    """The input of a job is not what the job file says, or has changed since it was planned."""


class OutputError(RaytonError):
    """The output folder cannot take this job, or does not hold in the end what it should."""


class ScorerError(RaytonError):
    """A `TritonScorer` was not given what it needs, or a row that it cannot score."""


class PlacementError(RaytonError):
    """The Ray cluster has no node that can score."""


class InferenceError(RaytonError):
    """A request to a node server did not succeed; the subclasses say what that means for its rows."""


class RetryableError(InferenceError):
    """The server was not there or had no room: the same request may succeed later."""


class RefusedError(InferenceError):
    """The server cannot answer this request; a part of its rows may be to blame."""


class ServerDiedError(RefusedError):
    """The server died each time that it got this request, and was ready before."""


class FatalError(InferenceError):
    """No request of this job can succeed until a person changes something."""


class RestrictedError(FatalError):
    """The server does what was asked only for those who have its control key."""


class ServerAwayError(FatalError):
    """The server of a node was waited for in vain. Another node's may be there."""
