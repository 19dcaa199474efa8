"""The compose file of the demo is valid, pinned, and reachable from this machine only."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ray_pipeline.spec import load_job
from tests.support.manifests import walk

DOCKER = Path(__file__).parents[3] / "docker"
VERSION = tomllib.loads((DOCKER.parent / "pyproject.toml").read_text())["project"]["version"]
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCHEMA = json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
ROOMS = {"export": "exporter", "server": "server", "head": "worker", "worker": "worker", "score": "worker"}


def test_the_file_is_valid() -> None:
    VALIDATOR.validate(COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_a_key_of_a_service_that_is_misspelt_is_found(name: str) -> None:
    for key in SERVICES[name]:
        wrong = copy.deepcopy(COMPOSE)
        wrong["services"][name][f"{key}x"] = wrong["services"][name].pop(key)
        assert not VALIDATOR.is_valid(wrong), key


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_and_may_do_as_little_as_can_be(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].rpartition(":")
    assert re.search(r"\d", tag), "a release, not whatever is there today"
    if name in ROOMS:
        assert (image, tag) == (f"rayton-{ROOMS[name]}", VERSION)
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["user"] == "10001:10001"
    assert service["user"].partition(":")[0] not in ("0", "root")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_what_is_mounted_and_waited_for_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            assert source in COMPOSE["volumes"] or ((DOCKER / source).exists() and mode == ["ro"]), volume
            assert target.startswith("/")
        assert set(service.get("depends_on", [])) <= set(SERVICES)


def test_no_secret_is_written_down() -> None:
    secret = re.compile("PASSWORD|SECRET|ACCESS_KEY|USER$")
    found = [value for path, value in walk(SERVICES) if isinstance(path[-1], str) and secret.search(path[-1])]
    assert len(found) > 10
    assert all(re.fullmatch(r"\$\{\w+:\?.*}", value) for value in found)
    named = set(re.findall(r"\$\{(\w+):\?", (DOCKER / "compose.yaml").read_text()))
    assert {line for line in (DOCKER / "example.env").read_text().splitlines() if "=" in line} == {
        f"{n}=" for n in named
    }


def test_the_job_fits_the_texts_and_the_services() -> None:
    job = load_job(DOCKER / "demo" / "job.toml")
    rows = [json.loads(line) for line in (DOCKER / "demo" / "texts.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == 24
    assert all(set(row) == {*job.input.keep, *job.models[0].inputs.values()} for row in rows)
    assert job.triton.url is not None
    assert job.triton.url.partition(":")[0] in SERVICES
    assert job.triton.transport == "grpc", "containers share no memory"


def test_prometheus_asks_services_that_are_there() -> None:
    asked = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())
    targets = [one for job in asked["scrape_configs"] for static in job["static_configs"] for one in static["targets"]]
    assert targets == ["server:8002", "head:8080", "worker:8080"]
    assert asked["scrape_configs"][1]["honor_labels"] is True, "else the label `job` of Rayton's metrics is renamed"
    for ray in ("head", "worker"):
        assert SERVICES[ray]["command"][-2:] == ["--metrics-export-port", "8080"]
