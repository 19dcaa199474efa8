"""Secrets of the manifests: the commands that make them, and under which paths a container has their files."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import Any

from tests.support.kustomize import Manifest
from tests.support.manifests import KUBERNETES

README = KUBERNETES.parent / "README.md"
_CREATE = "kubectl -n rayton create secret generic "


def block_of(beginning: str) -> str:
    """The indented block of docker/README.md that begins so, as it is run."""
    blocks = re.findall(r"(?:^    .*\n)+", README.read_text(), re.MULTILINE)
    (found,) = (block for block in blocks if block.startswith(f"    {beginning}"))
    return re.sub(r"^    ", "", found, flags=re.MULTILINE)


def made_secrets() -> dict[str, dict[str, str]]:
    """The secrets that docker/README.md makes, by their names: the file that each of their keys holds."""
    made: dict[str, dict[str, str]] = {}
    for line in block_of(_CREATE).replace("\\\n", " ").splitlines():
        name, *options = shlex.split(line.removeprefix(_CREATE))
        given = [option.removeprefix("--from-file=").rpartition("=") for option in options]
        made[name] = {key or file: file for key, _, file in given}
    return made


def secret_mounts(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The secrets that the one container of a pod has as files, by the paths of their folders."""
    (container,) = template["spec"]["containers"]
    secrets = {one["name"]: one["secret"] for one in template["spec"]["volumes"] if "secret" in one}
    return {
        mount["mountPath"]: secrets[mount["name"]] | {"readOnly": mount.get("readOnly", False)}
        for mount in container["volumeMounts"]
        if mount["name"] in secrets
    }


def file_behind(path: str, template: dict[str, Any]) -> str | None:
    """Which of the files that docker/README.md puts in secrets a container has at a path; None: it has none there."""
    found = PurePosixPath(path)
    secret = secret_mounts(template).get(str(found.parent))
    return None if secret is None else made_secrets()[secret["secretName"]].get(found.name)


def paths_in(words: list[str]) -> list[str]:
    """The values of the options of a command that are paths below /etc."""
    return [value for _, _, value in (word.partition("=") for word in words) if value.startswith("/etc/")]


def health_commands(server: Manifest) -> list[list[str]]:
    """What the probes of the server's pod run."""
    (container,) = server["spec"]["template"]["spec"]["containers"]
    probes = [container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
    return [probe["exec"]["command"] for probe in probes if "exec" in probe]
