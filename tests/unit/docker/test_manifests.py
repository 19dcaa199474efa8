"""The manifests of Kubernetes are valid, fit each other, and give as little away as can be."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ray_pipeline.spec import load_job
from tests.support.kustomize import Manifest, render
from tests.support.manifests import FOLDERS, KUBERNETES, containers, fault, pod_templates, walk

ROOT = KUBERNETES.parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
RENDERED = {folder: render(KUBERNETES / folder) for folder in FOLDERS}
EVERY = [(folder, one) for folder, manifests in RENDERED.items() for one in manifests]
WRITTEN = [one for folder, one in EVERY if "overlays" not in folder]
FREE = {"labels", "matchLabels", "nodeSelector", "selector", "requests", "limits", "data"}
FREE |= {"rayStartParams", "clusterSelector"}
"""Maps whose keys are for their authors to choose: here a schema cannot know a wrong one."""


def name(value: Any) -> str:
    return f"{value['kind']}-{value['metadata']['name']}" if isinstance(value, dict) else str(value)


def the(kind: str, called: str, folder: str = "base") -> Manifest:
    (found,) = (one for one in RENDERED[folder] if name(one) == f"{kind}-{called}")
    return found


@pytest.mark.parametrize(("folder", "manifest"), EVERY, ids=name)
def test_every_manifest_is_valid(folder: str, manifest: Manifest) -> None:
    assert fault(manifest) is None
    assert manifest["metadata"].get("namespace", "rayton") == "rayton"


@pytest.mark.parametrize("manifest", WRITTEN, ids=name)
def test_a_field_that_is_misspelt_or_of_another_type_is_found(manifest: Manifest) -> None:
    paths = [path for path, _ in walk(manifest) if len(path) > 1 and is_of_the_schema(path)]
    wrong = {path: (misspelt(manifest, path), of_another_type(manifest, path)) for path in paths}
    assert [path for path, both in wrong.items() if None in map(fault, both)] == []
    assert len(paths) >= 2


def is_of_the_schema(path: tuple[str | int, ...]) -> bool:
    """Whether the last step is a key that the schema gives."""
    *above, key = path
    return not isinstance(key, int) and (above[-1] not in FREE or key == "matchLabels")


def misspelt(manifest: Manifest, path: tuple[str | int, ...]) -> Manifest:
    wrong, inner = _copied(manifest, path)
    inner[f"{path[-1]}x"] = inner.pop(path[-1])
    return wrong


def of_another_type(manifest: Manifest, path: tuple[str | int, ...]) -> Manifest:
    wrong, inner = _copied(manifest, path)
    inner[path[-1]] = "no map" if isinstance(inner[path[-1]], dict | list) else {"no": "scalar"}
    return wrong


def _copied(manifest: Manifest, path: tuple[str | int, ...]) -> tuple[Manifest, Any]:
    wrong = copy.deepcopy(manifest)
    inner: Any = wrong
    for step in path[:-1]:
        inner = inner[step]
    return wrong, inner


@pytest.mark.parametrize(("folder", "manifest"), [(f, one) for f, one in EVERY if containers(one)], ids=name)
def test_containers_are_pinned_and_may_do_as_little_as_can_be(folder: str, manifest: Manifest) -> None:
    for template in pod_templates(manifest):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not any("hostPath" in volume for volume in spec["volumes"])
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {mount["name"] for one in spec["containers"] for mount in one["volumeMounts"]} == {
            volume["name"] for volume in spec["volumes"]
        }
    for container in containers(manifest):
        assert re.fullmatch(rf"rayton-(server|worker):{re.escape(VERSION)}", container["image"])
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert "env" not in container, "what is secret comes by reference"


def test_no_account_gets_a_token() -> None:
    accounts = [one for one in RENDERED["base"] if one["kind"] == "ServiceAccount"]
    assert [one["automountServiceAccountToken"] for one in accounts] == [False, False]
    used = {template["spec"]["serviceAccountName"] for one in RENDERED["base"] for template in pod_templates(one)}
    assert used == {one["metadata"]["name"] for one in accounts}


def test_services_and_policies_and_budgets_choose_pods_that_are_there() -> None:
    pods = [template["metadata"]["labels"] for one in RENDERED["base"] for template in pod_templates(one)]
    cluster = the("RayJob", "rayton-job", "job")["spec"]["clusterSelector"]
    assert cluster == {"ray.io/cluster": the("RayCluster", "rayton")["metadata"]["name"]}
    pods += [cluster | {"ray.io/node-type": "head"}, cluster | {"ray.io/group": "gpu"}]  # KubeRay's own labels
    for path, wanted in (found for one in RENDERED["base"] for found in walk(one)):
        if path[-1] not in ("selector", "podSelector", "labelSelector") or not wanted:
            continue
        labels = wanted.get("matchLabels", wanted)
        assert any(labels.items() <= pod.items() for pod in pods), (path, labels)


def test_bulk_asks_the_server_of_its_own_node() -> None:
    online, local = the("Service", "rayton-server"), the("Service", "rayton-server-local")
    assert local["spec"]["internalTrafficPolicy"] == "Local"
    assert "internalTrafficPolicy" not in online["spec"]
    assert online["spec"]["selector"] == local["spec"]["selector"]


def test_the_job_is_one_that_rayton_takes(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(the("ConfigMap", "rayton-job", "job")["data"]["job.toml"])
    job = load_job(file)
    assert job.triton.url == "rayton-server-local:8001"
    assert job.triton.transport == "grpc", "pods share no memory"
    entrypoint = the("RayJob", "rayton-job", "job")["spec"]["entrypoint"]
    head = the("RayCluster", "rayton")["spec"]["headGroupSpec"]["template"]["spec"]
    (mount,) = (one for one in head["containers"][0]["volumeMounts"] if one["name"] == "job")
    assert entrypoint == f"rayton score {mount['mountPath']}/job.toml"
    assert head["volumes"][-1]["configMap"]["name"] == "rayton-job"


def test_only_nodes_beside_a_server_have_the_resource_that_scoring_asks_for() -> None:
    spec = the("RayCluster", "rayton")["spec"]
    gpu, cpu = spec["workerGroupSpecs"]
    assert "resources" not in spec["headGroupSpec"]["rayStartParams"] | cpu["rayStartParams"]
    assert gpu["rayStartParams"]["resources"] == '"{\\"triton\\": 1}"'
    server = the("DaemonSet", "rayton-server")["spec"]["template"]["spec"]
    assert gpu["template"]["spec"]["nodeSelector"] == server["nodeSelector"]
    assert gpu["template"]["spec"]["tolerations"] == server["tolerations"]
    assert f"\nray=={spec['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()


def test_overlays_change_what_they_say() -> None:
    (alone,) = the("RayCluster", "rayton", "overlays/one-gpu-node")["spec"]["workerGroupSpecs"]
    assert (alone["groupName"], alone["replicas"]) == ("gpu", 1)
    groups = the("RayCluster", "rayton", "overlays/many-gpu-nodes")["spec"]["workerGroupSpecs"]
    assert [(group["groupName"], group["replicas"]) for group in groups] == [("gpu", 8), ("cpu", 16)]
