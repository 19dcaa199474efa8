"""The examination of a running server."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.doctor.errors import ModelMissingError, explained
from triton_models.doctor.measure import Row, at_moments, one_by_one
from triton_models.doctor.pace import Pace, at_rate, gentle
from triton_models.doctor.verdict import Diagnosis, diagnosis, seen
from triton_models.server import health
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.errors import BrokenModelError
from triton_models.server.health import LoadedModel
from triton_models.server.live import REACH_S, handshake_explained, open_client
from triton_models.server.releases import release_cautions, security_cautions


def examine(
    address: str,
    models: Sequence[str],
    requests: int,
    rate_per_s: float | None,
    say: Callable[[str], None] = lambda line: None,
    credentials: Credentials = NONE,
) -> Examination:
    """Sends single rows to these models of the server whose gRPC is at `address`, to all that are ready if empty.

    One model after the other, `requests` for each at most, at a rate that takes a small share of one instance, or at
    `rate_per_s`. Before it begins it says how long it will take. Raises UnreachableError, ModelMissingError,
    BrokenModelError for a model that answers no request, or another ServerError for a server that refuses to answer.
    """
    with open_client(address, credentials) as client, explained(address):
        with handshake_explained(address, credentials):
            client.is_server_live(client_timeout=REACH_S)
        patients = [_admitted(client, one, requests, rate_per_s) for one in _chosen(client, address, models)]
        total_s = math.ceil(sum(patient.pace.seconds for patient in patients))
        say(f"about {total_s} s for {len(patients)} model{'s' if len(patients) > 1 else ''}")
        version = client.get_server_metadata(client_timeout=REACH_S).version
        cautions = (*release_cautions(version), *security_cautions(version))
        return Examination(cautions, tuple(_examined(patient) for patient in patients))


@dataclass(frozen=True)
class Examination:
    """What was found: what is to be said of the server itself, and a diagnosis for each model."""

    cautions: tuple[str, ...]
    models: tuple[Diagnosis, ...]


@dataclass(frozen=True)
class _Patient:
    config: ModelConfig
    row: Row
    pace: Pace


def _chosen(client: InferenceServerClient, address: str, names: Sequence[str]) -> list[LoadedModel]:
    loaded = health.loaded_models(client)
    ready = {model.name: model for model in health.current_models(loaded)}
    for name in names:
        if name in ready:
            continue
        if reason := next((model.reason for model in loaded if model.name == name), ""):
            raise BrokenModelError(f"{address} could not load {name}: {reason}; its log says more")
        raise ModelMissingError(f"{address} serves no model {name}; it serves {', '.join(ready) or 'none'}")
    if not ready:
        raise ModelMissingError(f"{address} serves no model that is ready; load one, and examine it then")
    return [ready[name] for name in dict.fromkeys(names)] or list(ready.values())


def _admitted(client: InferenceServerClient, model: LoadedModel, requests: int, rate_per_s: float | None) -> _Patient:
    try:
        inputs = health.probe(client, model)
    except BrokenModelError as error:
        raise BrokenModelError(
            f"{error}; a model that cannot answer tensors of ones and zeros by design cannot be examined: name the "
            "others with --model"
        ) from error
    row = Row(client, model.name, model.version, inputs)
    service_s = one_by_one(row)
    pace = gentle(requests, service_s) if rate_per_s is None else at_rate(requests, rate_per_s, service_s)
    return _Patient(health.live_config(client, model), row, pace)


def _examined(patient: _Patient) -> Diagnosis:
    timings = at_moments(patient.row, patient.pace.moments())
    found = seen(timings.latencies_s, timings.failures)
    return diagnosis(patient.row.model, patient.row.version, patient.config, found)
