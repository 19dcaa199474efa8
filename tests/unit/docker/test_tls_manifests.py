"""The manifests with certificates and keys: what they name is mounted, and made by the commands of docker/README.md."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from ray_pipeline.spec import JobSpec, load_job
from rayton import app
from tests.support.kustomize import Manifest, render
from tests.support.manifests import KUBERNETES, pod_templates
from tests.support.mounted import block_of, file_behind, health_commands, made_secrets, paths_in, secret_mounts

OVERLAYS = ("overlays/one-gpu-node-tls", "overlays/many-gpu-nodes-tls")
RENDERED = {folder: render(KUBERNETES / folder) for folder in (*OVERLAYS, "job", "job-tls")}
SHOWN = {"--tls-ca": "ca.crt", "--tls-cert": "operator.crt", "--tls-key": "operator.key"}
KEY = {"--control-key-file": "control.key"}

pytestmark = pytest.mark.parametrize("folder", OVERLAYS)


def the(kind: str, called: str, folder: str) -> Manifest:
    (found,) = (one for one in RENDERED[folder] if (one["kind"], one["metadata"]["name"]) == (kind, called))
    return found


def server_template(folder: str) -> dict[str, Any]:
    template: dict[str, Any] = the("DaemonSet", "rayton-server", folder)["spec"]["template"]
    return template


def scoring_template(folder: str) -> dict[str, Any]:
    groups = the("RayCluster", "rayton", folder)["spec"]["workerGroupSpecs"]
    (template,) = (group["template"] for group in groups if group["groupName"] == "gpu")
    found: dict[str, Any] = template
    return found


def job(tmp_path: Path, folder: str) -> JobSpec:
    file = tmp_path / "job.toml"
    file.write_text(the("ConfigMap", "rayton-job", folder)["data"]["job.toml"])
    return load_job(file)


def options(words: list[str], template: dict[str, Any]) -> dict[str, str | None]:
    """The options of a command that name files, with those that the README puts there."""
    split = [word.partition("=") for word in words]
    return {name: file_behind(value, template) for name, _, value in split if value.startswith("/")}


def check_parsed(words: list[str]) -> None:
    """Raises for what a command of ours does not take."""
    command: Any = typer.main.get_command(app)
    command.commands[words[0]].make_context(words[0], list(words[1:]))


def test_each_secret_is_one_that_the_readme_makes_and_only_those_who_need_it_have_it(folder: str) -> None:
    having = {
        "server": secret_mounts(server_template(folder)),
        "scoring": secret_mounts(scoring_template(folder)),
    }
    names = {who: {secret["secretName"] for secret in mounts.values()} for who, mounts in having.items()}
    assert names["server"] == {"rayton-server-tls", "rayton-operator-tls", "rayton-control-key"}
    assert names["scoring"] == {"rayton-job-tls", "rayton-control-key"}
    assert names["server"] | names["scoring"] == set(made_secrets())
    pods = [template for one in RENDERED[folder] for template in pod_templates(one)]
    assert len([template for template in pods if secret_mounts(template)]) == len(having)


def test_secrets_are_files_that_the_user_of_the_images_reads_by_the_group_and_nobody_else(folder: str) -> None:
    for template in (server_template(folder), scoring_template(folder)):
        security = template["spec"]["securityContext"]
        assert (security["runAsUser"], security["fsGroup"]) == (10001, 10001)
        for secret in secret_mounts(template).values():
            assert secret["defaultMode"] == 0o440
            assert secret["readOnly"] is True
            assert not {"optional", "items"} & set(secret), "without it no pod is to start"


def test_the_servers_options_are_those_of_the_command_and_name_files_that_are_mounted(folder: str) -> None:
    template = server_template(folder)
    (container,) = template["spec"]["containers"]
    check_parsed(["serve", *container["args"]])
    assert container["args"][:2] == ["--repository", "s3://models"]
    assert options(container["args"], template) == {
        "--tls-cert": "server.crt",
        "--tls-key": "server.key",
        "--tls-ca": "ca.crt",
        "--tls-client-cert": "operator.crt",
        "--tls-client-key": "operator.key",
        "--control-key-file": "control.key",
    }


def test_the_probes_show_a_certificate_and_the_key_and_no_http_is_left(folder: str) -> None:
    server = the("DaemonSet", "rayton-server", folder)
    commands = health_commands(server)
    assert len(commands) == 2
    for command in commands:
        assert command[:3] == ["rayton", "health", "localhost:8001"]
        check_parsed(command[1:])
        assert options(command, server_template(folder)) == SHOWN | KEY
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["tcpSocket"] == {"port": "grpc"}
    assert "httpGet" not in container["livenessProbe"]
    assert [port["name"] for port in container["ports"]] == ["grpc", "metrics"]
    for name in ("rayton-server", "rayton-server-local"):
        (port,) = the("Service", name, folder)["spec"]["ports"]
        assert port == {"name": "grpc", "port": 8001, "targetPort": "grpc"}
    policy = the("NetworkPolicy", "server", folder)["spec"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["grpc", "grpc", "metrics"]


def test_the_job_shows_what_is_mounted_where_it_scores(folder: str, tmp_path: Path) -> None:
    found, template = job(tmp_path, "job-tls").triton, scoring_template(folder)
    shown = found.credentials
    files = [shown.ca, shown.cert, shown.key, shown.control_key_file]
    assert [file_behind(str(file), template) for file in files] == ["ca.crt", "job.crt", "job.key", "control.key"]
    assert shown.server_name is None
    host = (found.url or "").partition(":")[0]
    assert host == the("Service", "rayton-server-local", folder)["metadata"]["name"]


def test_but_for_that_it_is_the_job_without_tls(folder: str, tmp_path: Path) -> None:
    plain, with_tls = (
        tomllib.loads(the("ConfigMap", "rayton-job", name)["data"]["job.toml"]) for name in ("job", "job-tls")
    )
    del with_tls["triton"]["tls"], with_tls["triton"]["control_key_file"]
    assert with_tls == plain
    assert the("RayJob", "rayton-job", "job-tls") == the("RayJob", "rayton-job", "job")


def test_the_certificate_of_the_servers_has_each_name_under_which_they_are_asked(folder: str) -> None:
    (issued,) = (line for line in block_of("umask 077").splitlines() if line.startswith("issue server "))
    names = {name.removeprefix("DNS:") for name in shlex.split(issued)[3].split(",")}
    services = {one["metadata"]["name"] for one in RENDERED[folder] if one["kind"] == "Service"}
    asked = {command[2].partition(":")[0] for command in health_commands(the("DaemonSet", "rayton-server", folder))}
    assert services | asked <= names
    assert paths_in(shlex.split(issued)) == []
