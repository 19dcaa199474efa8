"""Manifests of Kubernetes: whether they are valid, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
from pydantic import ValidationError

from tests.support.kuberay import KINDS
from tests.support.kustomize import Manifest

KUBERNETES = Path(__file__).parents[2] / "docker" / "kubernetes"
WITH_TLS = ("overlays/one-gpu-node-tls", "overlays/many-gpu-nodes-tls", "job-tls")
FOLDERS = ("base", "job", "overlays/one-gpu-node", "overlays/many-gpu-nodes", *WITH_TLS)
VERSION = "1.36"
"""Of Kubernetes, by whose schemas manifests are judged."""

# Else it reads its definitions, 2 MB, again for each manifest.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


def fault(manifest: Manifest) -> str | None:
    """What is wrong with a manifest by the schemas of Kubernetes, and of KubeRay for what is KubeRay's; else None."""
    try:
        if manifest.get("apiVersion") != "ray.io/v1":
            kubernetes_validate.validate(manifest, VERSION, strict=True)
            return None
        KINDS[manifest["kind"]].model_validate(manifest)
        for template in pod_templates(manifest):
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "any"}, "template": template}
            kubernetes_validate.validate(pod, VERSION, strict=True)
    except (kubernetes_validate.ValidationError, ValidationError) as error:
        return str(error)
    return None


def pod_templates(manifest: Manifest) -> list[dict[str, Any]]:
    """The templates of all pods that a manifest leads to."""
    return [value for path, value in walk(manifest) if path[-1] == "template"]


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    """The containers of all pods that a manifest leads to."""
    return [one for template in pod_templates(manifest) for one in template["spec"]["containers"]]


def walk(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """All values below one with their paths, from the outside in."""
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step), inner
        yield from walk(inner, (*path, step))
