"""The audit of dependencies: every pin is asked for; a known hole fails it, and so does nobody who could know."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.advisories import advisories
from triton_models.server.runtime import packages

ROOT = Path(__file__).parents[2]
OURS = (ROOT / "constraints.txt").read_text().splitlines()
PINS = [line.split("==") for line in (*OURS, *packages(gpu=False), *packages(gpu=True)) if not line.startswith("#")]
ASKED_FIRST = ("pip", "9.0.0")
"""Whether anybody answers at all is asked with this."""
PILLOW = dict(PINS)["pillow"]


def make(target: str, url: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", target, f"AUDIT_URL={url}"]
    # What the make that runs the tests tells its own children is not for this one.
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["audit", "audit-if-answered"])
def test_an_audit_asks_for_every_pinned_version(target: str) -> None:
    with advisories({}) as service:
        done = make(target, service.url)
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stderr
    assert service.asked - {ASKED_FIRST} == {(normal(name), version) for name, version in PINS}


@pytest.mark.parametrize("target", ["audit", "audit-if-answered"])
def test_a_known_hole_fails_the_audit_and_is_named(target: str) -> None:
    with advisories({"pillow": "HOLE-1"}) as service:
        done = make(target, service.url)
    assert done.returncode != 0
    assert re.search(rf"pillow +{re.escape(PILLOW)} +HOLE-1", done.stdout)


def test_the_one_hole_that_is_accepted_is_explained() -> None:
    with advisories({"ray": "CVE-2023-48022"}) as service:
        assert make("audit", service.url).returncode == 0
    with advisories({"ray": "HOLE-2"}) as service:
        assert make("audit", service.url).returncode != 0
    assert "CVE-2023-48022" in (ROOT / "SECURITY.md").read_text()


def test_an_audit_without_an_answer_fails_and_a_check_says_that_it_was_not_done(free_port: int) -> None:
    nobody = f"http://127.0.0.1:{free_port}/v1/query"
    done = make("audit", nobody)
    assert done.returncode != 0
    assert f"audit: NOT passed: {nobody} gives no answer" in done.stderr
    done = make("audit-if-answered", nobody)
    assert done.returncode == 0
    assert done.stderr == f"audit: NOT done: {nobody} gives no answer\n"


def normal(name: str) -> str:
    """A package's name as services know it."""
    return re.sub(r"[-_.]+", "-", name).lower()
