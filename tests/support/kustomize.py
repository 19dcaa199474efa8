"""What `kubectl kustomize` makes of the folders in docker/kubernetes, as far as they use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "patches"}


def render(folder: Path) -> list[Manifest]:
    """The manifests of a kustomization: its resources, changed by its components and then by its JSON patches.

    Raises ValueError for anything else that a kustomization may say, and for a patch without exactly one target.
    """
    asked = _asked(folder, "Kustomization")
    manifests = [one for name in asked["resources"] for one in _resource(folder / name)]
    for component in asked.get("components", []):
        _patch(manifests, folder / component, _asked(folder / component, "Component"))
    _patch(manifests, folder, asked)
    return manifests


def _asked(folder: Path, kind: str) -> dict[str, Any]:
    """What a kustomization or a component says."""
    asked: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    known = KNOWN if kind == "Kustomization" else KNOWN - {"resources", "components"}
    if asked["kind"] != kind:
        raise ValueError(f"{folder} is a {asked['kind']} and no {kind}")
    if unknown := set(asked) - known:
        raise ValueError(f"{folder} has {sorted(unknown)}, which is not understood here")
    return asked


def _patch(manifests: list[Manifest], folder: Path, asked: dict[str, Any]) -> None:
    for patch in asked.get("patches", []):
        target, operations = patch["target"], yaml.safe_load(patch["patch"])
        found = [one for one in manifests if _is(one, target)]
        if len(found) != 1:
            raise ValueError(f"{folder} patches {target}, which is there {len(found)} times")
        manifests[manifests.index(found[0])] = jsonpatch.apply_patch(found[0], operations)


def _resource(path: Path) -> list[Manifest]:
    if path.is_dir():
        return render(path)
    # By way of JSON, because a patch is to change one place and not all that an alias names.
    return [json.loads(json.dumps(one)) for one in yaml.safe_load_all(path.read_text())]


def _is(manifest: Manifest, target: dict[str, str]) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"]) == (target["kind"], target["name"])
