"""What is known of Triton's releases that matters to those who share a server, or let others reach it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SURVIVES_CANCELS = (2, 59)
"""Triton 2.59 (25.06) has the last of three corrections: triton-inference-server/server, pull requests 7840 (24.12),
8078 (25.04) and 8220 (25.06). Before them, a request that its client cancels at the moment of its answer may end the
server, and more often leaves a reference behind with which its model can never be unloaded."""


@dataclass(frozen=True)
class Release:
    """A Triton, by its own version and by the month of its container, such as 2.71.0 and 26.07."""

    version: tuple[int, int, int]
    container: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))} ({self.container})"


@dataclass(frozen=True)
class Correction:
    """What a release corrects by a security bulletin of NVIDIA, and what an attacker can do before it.

    `score` is the highest base score of its CVEs, by CVSS 3.1.
    """

    release: Release
    bulletin: int
    cves: tuple[str, ...]
    score: float
    harm: str


CORRECTIONS = (
    Correction(
        Release((2, 58, 0), "25.05"),
        5687,
        ("CVE-2025-23323", "CVE-2025-23324", "CVE-2025-23325", "CVE-2025-23326", "CVE-2025-23327"),
        7.5,
        "crash the server by a request, and tamper with data",
    ),
    Correction(
        Release((2, 59, 0), "25.06"),
        5687,
        ("CVE-2025-23322", "CVE-2025-23331"),
        7.5,
        "crash the server by a request, or by a stream that is cancelled",
    ),
    Correction(
        Release((2, 59, 1), "25.07"),
        5687,
        ("CVE-2025-23310", "CVE-2025-23311", "CVE-2025-23317", "CVE-2025-23321"),
        9.8,
        "run code through a crafted request, among others over HTTP",
    ),
    Correction(
        Release((2, 59, 1), "25.07"),
        5687,
        ("CVE-2025-23318", "CVE-2025-23319", "CVE-2025-23320", "CVE-2025-23333", "CVE-2025-23334"),
        8.1,
        "run code through the Python backend and its shared memory",
    ),
    Correction(
        Release((2, 60, 0), "25.08"),
        5691,
        ("CVE-2025-23316", "CVE-2025-23328", "CVE-2025-23329", "CVE-2025-23336"),
        9.8,
        "run code by the name of a model that is to be loaded, and corrupt the memory of the Python backend",
    ),
    Correction(
        Release((2, 61, 0), "25.09"), 5723, ("CVE-2025-33202",), 7.5, "crash the server by a very large request"
    ),
    Correction(
        Release((2, 62, 0), "25.10"), 5734, ("CVE-2025-33201", "CVE-2025-33211"), 7.5, "crash the server by a request"
    ),
    Correction(
        Release((2, 65, 0), "26.01"),
        5790,
        ("CVE-2025-33254", "CVE-2026-24158"),
        7.5,
        "crash the server, among others by a compressed request over HTTP",
    ),
    Correction(
        Release((2, 66, 0), "26.02"),
        5816,
        ("CVE-2026-24146", "CVE-2026-24147", "CVE-2026-24173", "CVE-2026-24174", "CVE-2026-24175"),
        7.5,
        "crash the server by a malformed request, and learn what it should not tell by a config that is uploaded",
    ),
    Correction(
        Release((2, 67, 0), "26.03"),
        5828,
        ("CVE-2026-24206", "CVE-2026-24207", "CVE-2026-24208", "CVE-2026-24209", "CVE-2026-24210"),
        9.8,
        "pass by authentication and run code, leave folders, and crash the server",
    ),
    Correction(
        Release((2, 68, 0), "26.04"), 5848, ("CVE-2026-24264", "CVE-2026-24266"), 7.5, "crash the server by a request"
    ),
    Correction(
        Release((2, 68, 0), "26.04"),
        5875,
        ("CVE-2026-47625",),
        7.5,
        "use what nobody has authorized, and tamper with data",
    ),
    Correction(
        Release((2, 69, 0), "26.05"),
        5853,
        (
            "CVE-2026-47476",
            "CVE-2026-47477",
            "CVE-2026-47478",
            "CVE-2026-47479",
            "CVE-2026-47480",
            "CVE-2026-47481",
            "CVE-2026-47482",
        ),
        7.5,
        "pass by authentication and run code, and crash the server",
    ),
    Correction(
        Release((2, 70, 0), "26.06"),
        5865,
        ("CVE-2026-47606", "CVE-2026-47627", "CVE-2026-47628", "CVE-2026-47629", "CVE-2026-47630"),
        9.8,
        "leave folders and run code, and crash the server",
    ),
    Correction(
        Release((2, 71, 0), "26.07"),
        5875,
        ("CVE-2026-16497",),
        7.5,
        "keep the server busy with one request for very long",
    ),
)
"""By NVIDIA's bulletins up to September 2026 (https://github.com/NVIDIA/product-security), the oldest first; those are
left out that are only about the DALI and TensorRT backends, SageMaker, MLflow, or Windows. Which container has which
version is told by the tags of triton-inference-server/server."""

LEAST_GOOD = CORRECTIONS[-1].release
"""The oldest release that has all of them."""


def release_cautions(version: str) -> list[str]:
    """A sentence for each thing that makes a server of this version, such as `2.51.0`, unsafe to share.

    Empty for a version that is no number: another server that speaks the same protocol.
    """
    number = _number(version)
    if number is None or number >= SURVIVES_CANCELS:
        return []
    return [
        f"its Triton is {version}: a client that cancels a gRPC request, because its deadline is over or it ends, may "
        "crash the server if the answer is just being sent, or leave a model behind that is never unloaded; run "
        f"{'.'.join(map(str, SURVIVES_CANCELS))} (25.06) or newer, and until then give clients long deadlines"
    ]


def security_cautions(version: str) -> list[str]:
    """What makes a server of this version unsafe where strangers reach it: one sentence, or none. Empty as above."""
    number = _number(version)
    if number is None or not (missing := [one for one in CORRECTIONS if number < one.release.version]):
        return []
    bulletins = sorted({one.bulletin for one in missing})
    worst = max(missing, key=lambda one: one.score)
    cves = sum(len(one.cves) for one in missing)
    return [
        f"its Triton is {version} and has {cves} known holes, by NVIDIA's security bulletins "
        f"{', '.join(map(str, bulletins))}: whoever reaches its ports can {worst.harm}, to name the worst; run "
        f"{LEAST_GOOD} or newer, and until then let only trusted machines reach it"
    ]


def _number(version: str) -> tuple[int, ...] | None:
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in found.groups()) if found else None
