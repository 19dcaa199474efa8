"""The pages of options tell every option, each with what it does."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from pydantic import BaseModel

from docs.reference import callbacks, commands, job_file, parameters, sections
from rayton import app

COMMANDS = {" ".join(words): command for words, command in callbacks(app, ("rayton",))}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_command_says_what_it_does(name: str) -> None:
    page = commands()
    assert f"\n## `{name}`\n" in page
    for one in parameters(COMMANDS[name]):
        assert one.told.help, one.names
        assert f"| `{one.names[0]}`" in page


def test_the_names_are_those_that_the_command_line_takes() -> None:
    for name, command in COMMANDS.items():
        _, *words = name.split()
        found: Any = typer.main.get_command(app)
        for word in words:
            found = found.commands[word]
        taken = {option for one in found.params for option in (*one.opts, *one.secondary_opts) if option[0] == "-"}
        told = {option for one in parameters(command) for option in one.names if option[0] == "-"}
        assert told == taken - {"--help"}


@pytest.mark.parametrize(("name", "section"), list(sections()))
def test_every_key_of_a_job_file_says_what_it_is(name: str, section: type[BaseModel]) -> None:
    page = job_file()
    assert f"\n## `{name}`\n" in page
    for key, field in section.model_fields.items():
        assert field.description, key
        assert f"| `{key}` |" in page or f".{key}]" in page
