"""The pages: they build without a warning, every command in them is one, and every test that they name is there.

That the commands do what the pages say is what `tests/pages` is for.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from docs.reference import callbacks
from rayton import app
from tests.support.told import PAGES, ROOT, Told, told_commands

COMMANDS = dict(callbacks(app, ("rayton",)))
RUN = ("rayton", "ray")
"""What begins a command that `tests/pages` runs as it stands."""

NO_ENGINE, NO_CLUSTER = "no container engine is here", "no Kubernetes is here"
NOT_RUN = {
    "docker run": NO_ENGINE,
    "docker buildx": NO_ENGINE,
    "docker compose build": NO_ENGINE,
    "docker compose up": NO_ENGINE,
    "kubectl apply": NO_CLUSTER,
    "kubectl create": NO_CLUSTER,
}
"""Commands that no test runs, and why; docker/README.md names each of them as not run."""

LOOKED_AT = {
    "make": "its targets are those of the Makefile, and each is what other tests or people run",
    "git clone": "where the repository is, nobody can say here",
    "cp": "what is copied is there",
}
"""Commands that are only looked at, and why."""


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [*command, "docs", str(tmp_path / "html")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rows_per_chunk" in (tmp_path / "html" / "generated" / "job-file.html").read_text()


@pytest.mark.parametrize("told", [told for told in told_commands() if told.line.startswith("rayton ")], ids=str)
def test_a_command_in_a_page_is_one_with_options_that_it_has(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told.exported.items():
        monkeypatch.setenv(name, value)
    _, *words = shlex.split(told.line)
    called = next((name for name in COMMANDS if ("rayton", *words)[: len(name)] == name), None)
    assert called is not None, told
    rest = words[len(called) - 1 :]
    command: Any = typer.main.get_command(app)
    for word in called[1:]:
        command = command.commands[word]
    command.make_context(" ".join(called), rest)  # raises for what the command does not take


def test_every_other_command_is_run_or_looked_at_or_said_not_to_be() -> None:
    kinds = [kind(told.line) for told in told_commands()]
    assert set(kinds) == {*RUN, *NOT_RUN, *LOOKED_AT}


def test_what_is_not_run_is_named_where_the_images_are() -> None:
    named = (ROOT / "docker" / "README.md").read_text().partition("\nNot run:\n")[2]
    assert [one for one in NOT_RUN if f"`{one}`" not in named] == []


def test_what_is_made_is_a_target() -> None:
    targets = re.findall(r"(?m)^([a-z][\w-]*):", (ROOT / "Makefile").read_text())
    lines = [told.line for told in told_commands() if told.line.startswith("make ")]
    spans = re.findall(r"`(make [a-z][^`]*)`", "".join(page.read_text() for page in PAGES))
    made = {word for line in (*lines, *spans) for word in line.split()[1:] if "=" not in word}
    assert "demo" in made
    assert made - set(targets) == set()


def test_what_is_copied_is_there() -> None:
    copied = [told.line.split()[1] for told in told_commands() if told.line.startswith("cp ")]
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_the_programs_that_pages_start_with_python_are_there() -> None:
    modules = re.findall(r"`python -m ([\w.]+)", "".join(page.read_text() for page in PAGES))
    assert modules
    assert [module for module in modules if find_spec(module) is None] == []


def kind(line: str) -> str:
    """By what a command is known in the lists above: some of its words, in their order; else all of it."""
    words = [word for word in line.split() if not word.startswith("-")]
    known = (*RUN, *NOT_RUN, *LOOKED_AT)
    return next((one for one in known if one.split()[0] == words[0] and set(one.split()) <= set(words)), line)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_pages_name_tests() -> None:
    assert "`tests/drills`" in (ROOT / "docs" / "guarantees.md").read_text()
