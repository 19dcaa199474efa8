from __future__ import annotations

import re
from pathlib import Path

import pytest

from triton_models.server.releases import CORRECTIONS, LEAST_GOOD, release_cautions, security_cautions

SECURITY = Path(__file__).parents[4] / "SECURITY.md"


@pytest.mark.parametrize("version", ["2.51.0", "2.58.0", "2.9.1", "1.15.0"])
def test_a_release_that_a_cancelled_request_may_crash_is_named_with_what_to_run_instead(version: str) -> None:
    (said,) = release_cautions(version)
    assert said.startswith(f"its Triton is {version}: ")
    assert "2.59 (25.06) or newer" in said


@pytest.mark.parametrize("version", ["2.59.0", "2.60.0", "3.0.0", "", "openvino"])
def test_nothing_is_said_of_a_release_that_survives_them_nor_of_another_server(version: str) -> None:
    assert release_cautions(version) == []


def test_a_release_with_known_holes_is_named_with_the_worst_of_them_and_the_bulletins() -> None:
    (said,) = security_cautions("2.51.0")
    assert said.startswith("its Triton is 2.51.0 and has 51 known holes, by NVIDIA's security bulletins 5687, 5691, ")
    assert "can run code through a crafted request" in said
    assert "run 2.71.0 (26.07) or newer" in said


def test_the_third_number_of_a_version_counts() -> None:
    (before,), (after,) = security_cautions("2.59.0"), security_cautions("2.59.1")
    assert "bulletins 5687, 5691" in before
    assert "bulletins 5691, " in after


@pytest.mark.parametrize("version", ["2.71.0", "2.72.0dev", "3.0", "", "openvino"])
def test_nothing_is_said_of_a_release_with_all_corrections_nor_of_another_server(version: str) -> None:
    assert security_cautions(version) == []


def test_the_table_is_in_order_and_names_no_hole_twice() -> None:
    versions = [one.release.version for one in CORRECTIONS]
    assert versions == sorted(versions)
    assert LEAST_GOOD.version == versions[-1]
    cves = [cve for one in CORRECTIONS for cve in one.cves]
    assert len(cves) == len(set(cves))
    assert all(re.fullmatch(r"CVE-20\d\d-\d{4,5}", cve) for cve in cves)


def test_the_table_in_security_md_says_the_same() -> None:
    section = SECURITY.read_text().split("## Supported Triton releases")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| 2.")]
    assert rows == [
        f"| {one.release} | {one.bulletin} | {', '.join(one.cves)} | {one.score} | {one.harm} |" for one in CORRECTIONS
    ]
    assert f"The least good release is Triton {LEAST_GOOD}" in section
