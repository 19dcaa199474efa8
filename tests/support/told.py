"""What the pages tell people to type: command lines, and programs and files as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", ROOT / "docker" / "README.md"]
PAGES = TEXTS + sorted((ROOT / "docs").glob("*.md"))

PROGRAMS = (
    *("rayton", "ray", "python", "pip", "make", "git", "cp", "curl", "apt", "apt-get", "sudo"),
    *("docker", "podman", "buildah", "skopeo", "kubectl", "kustomize", "helm"),
)
"""What begins a line that is a command; `export` only says what holds for those below it."""

STANDS_FOR = {"OUTPUT": "s3://corpus/embeddings", "JOB.toml": "job.toml", "HOST:PORT": "localhost:8001"}
"""What a command within a sentence calls things, and what the lines of commands do."""


@dataclass(frozen=True)
class Told:
    """A command as it stands in a page, without the comment behind it; `exported` is what was exported there before."""

    page: str
    line: str
    exported: Mapping[str, str] = field(default_factory=dict)


def told_commands() -> Iterator[Told]:
    """Every line of all pages that is a command, and the calls of `rayton` within sentences that name an object."""
    for page in PAGES:
        exported, text = dict[str, str](), page.read_text()
        for line in re.sub(r"\\\n\s*", "", text).splitlines():
            if found := re.match(r"    export (\w+)=(\S+)", line):
                exported[found[1]] = found[2]
            elif found := re.match(rf"    ((?:{'|'.join(PROGRAMS)}) .*)", line):
                yield Told(str(page.relative_to(ROOT)), without_comment(found[1]), dict(exported))
        for span in re.findall(r"`(rayton [^`]+)`", text):
            words = [STANDS_FOR.get(word, word) for word in span.split()]
            if set(words) & set(STANDS_FOR.values()):
                yield Told(str(page.relative_to(ROOT)), " ".join(words))


def without_comment(line: str) -> str:
    """A command line with one space between its words."""
    return " ".join(line.partition("  #")[0].split())


def block(beginning: str) -> str:
    """The block of the README whose first line begins so, not indented any more."""
    found = re.search(rf"(?m)^    {re.escape(beginning)}.*\n(?:    .*\n|\n)*", (ROOT / "README.md").read_text())
    assert found is not None, beginning
    return re.sub(r"(?m)^    ", "", found[0]).rstrip() + "\n"
