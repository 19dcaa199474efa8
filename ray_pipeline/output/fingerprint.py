"""What decides the answers of a job: two runs that differ in it cannot share an output folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray_pipeline.spec import JobSpec

Fingerprint = dict[str, Any]


def fingerprint(spec: JobSpec, versions: Sequence[int | None], checksums: Sequence[str | None]) -> Fingerprint:
    """That of a job with its models at these versions, whose `model.onnx` has these SHA-256; kept in `_job.json`.

    Holds no secret: credentials are not in a job file.
    """
    models = [
        {
            "name": model.name,
            "version": version,
            "checksum": checksum,
            "inputs": model.inputs,
            "outputs": model.outputs,
            "truncate": model.truncate,
        }
        for model, version, checksum in zip(spec.models, versions, checksums, strict=True)
    ]
    return {
        "format": 3,
        "input": {
            "uri": spec.input.uri,
            "keep": list(spec.input.keep),
            "rows_per_chunk": spec.input.rows_per_chunk,
        },
        "models": models,
        "output": {"format": spec.output.format, "on_nonfinite": spec.output.on_nonfinite},
    }


def fixed_versions(spec: JobSpec, earlier: Fingerprint | None) -> list[int | None]:
    """The version of each model that the job file pins, or else the one that the first run of the job has found."""
    found = _of_models("version", spec, earlier)
    return [model.version or version for model, version in zip(spec.models, found, strict=True)]


def as_earlier(spec: JobSpec, earlier: Fingerprint) -> Fingerprint:
    """That of a job file at what an earlier run has found: versions that are not pinned, and checksums."""
    return fingerprint(spec, fixed_versions(spec, earlier), _of_models("checksum", spec, earlier))


def _of_models(key: str, spec: JobSpec, earlier: Fingerprint | None) -> list[Any]:
    """What an earlier run has found of each model; None of those that it did not have."""
    found = [model.get(key) for model in earlier["models"]] if earlier is not None else []
    return [*found, *[None] * len(spec.models)][: len(spec.models)]
