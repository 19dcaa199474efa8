"""The pages that tell every option, made from the code that reads it."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo, OptionInfo

from ray_pipeline.spec import JobSpec
from rayton import app

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "array": "list of texts",
    "object": "table of texts",
}
_BOUNDS = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
_KINDS = {Path: "path", str: "text", int: "whole number", float: "number"}


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command, as a user writes it."""

    names: tuple[str, ...]
    kind: str
    default: object
    is_required: bool
    told: OptionInfo | ArgumentInfo


def write(folder: Path) -> None:
    """Writes all pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in (("job-file.md", job_file()), ("commands.md", commands())):
        (folder / name).write_text(page)


def job_file() -> str:
    """Every key of a job file, section by section."""
    lines = ["# The job file", "", "Every section and every key. Another key is an error that names the nearest."]
    for name, section in sections():
        about = (inspect.getdoc(section) or "").partition(": ")[2]
        lines += [
            "",
            f"## `{name}`",
            "",
            about[:1].upper() + about[1:],
            "",
            "| key | value | usually | |",
            "|---|---|---|---|",
        ]
        for key, field in section.model_fields.items():
            if not _inner(field.annotation):
                lines.append(f"| `{key}` | {_value(section, key)} | {_usual(field)} | {_cell(field.description)} |")
    return "\n".join(lines) + "\n"


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections of a job file by the names that they have there, such as `[triton.tls]`."""
    yield from _sections_of(JobSpec, ())


def commands() -> str:
    """Every command with its arguments and options."""
    lines = ["# Commands", "", "`rayton COMMAND --help` says the same."]
    for words, command in callbacks(app, ("rayton",)):
        lines += ["", f"## `{' '.join(words)}`", "", _cell(inspect.getdoc(command))]
        if found := parameters(command):
            lines += ["", "| | value | usually | |", "|---|---|---|---|", *map(_row, found)]
    return "\n".join(lines) + "\n"


def callbacks(group: typer.Typer, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Callable[..., object]]]:
    """The functions behind the commands, with the words that call each."""
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        yield (*words, name), command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from callbacks(inner.typer_instance, (*words, str(inner.name)))


def parameters(command: Callable[..., object]) -> list[Parameter]:
    """The arguments and options of a command."""
    found = []
    for name, one in inspect.signature(command, eval_str=True).parameters.items():
        annotated, told = get_args(one.annotation)[:2]
        kind = _without_none(annotated)
        is_required = one.default is inspect.Parameter.empty
        found.append(Parameter(_names(name, kind, told), _kind(kind, told), one.default, is_required, told))
    return found


def _without_none(annotation: Any) -> Any:
    if not isinstance(annotation, types.UnionType):
        return annotation
    (kind,) = (one for one in get_args(annotation) if one is not type(None))
    return kind


def _names(name: str, kind: object, told: OptionInfo | ArgumentInfo) -> tuple[str, ...]:
    if isinstance(told, ArgumentInfo):
        return (told.metavar or name.upper(),)
    if declared := [one for one in (told.default, *(told.param_decls or ())) if isinstance(one, str)]:
        return tuple(declared)  # the first one stands where outside of Annotated the default would
    long = f"--{name.replace('_', '-').strip('-')}"
    return (long, f"--no-{long[2:]}") if kind is bool else (long,)


def _kind(kind: Any, told: OptionInfo | ArgumentInfo) -> str:
    if kind is bool or isinstance(told, ArgumentInfo):
        return ""
    if get_origin(kind) is list:
        return f"{_kind(get_args(kind)[0], told)}; repeatable"
    if choices := get_args(kind) or list(getattr(kind, "__members__", ())):
        return ", ".join(f"`{one}`" for one in choices)
    bounds = [f"from {told.min:g}" if told.min is not None else "", f"to {told.max:g}" if told.max is not None else ""]
    return " ".join([_KINDS[kind], *filter(None, bounds)])


def _row(one: Parameter) -> str:
    about = [_cell(one.told.help)]
    if one.told.envvar:
        about.append(f"Environment: `{one.told.envvar}`.")
    names = ", ".join(f"`{name}`" for name in one.names)
    return f"| {names} | {one.kind} | {_default(one)} | {' '.join(about)} |"


def _default(one: Parameter) -> str:
    if isinstance(one.told.show_default, str):
        return _cell(one.told.show_default)
    if one.is_required:
        return "*needed*"
    if one.default is True:
        return f"`{one.names[0]}`"
    return f"`{one.default}`" if one.default not in (None, False) else ""


def _sections_of(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, type[BaseModel]]]:
    for key, field in model.model_fields.items():
        for inner in _inner(field.annotation):
            name = ".".join((*above, key))
            yield f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]", inner
            yield from _sections_of(inner, (*above, key))


def _inner(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    parts = get_args(annotation) if get_origin(annotation) in (tuple, types.UnionType) else ()
    return [one for part in parts for one in _inner(part)]


def _value(section: type[BaseModel], key: str) -> str:
    schema = section.model_json_schema()["properties"][key]
    schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    if "enum" in schema:
        return ", ".join(f'`"{one}"`' for one in schema["enum"])
    bounds = [f"{words} {schema[name]:g}" for name, words in _BOUNDS.items() if name in schema]
    return " ".join([_TYPES[schema["type"]], *bounds])


def _usual(field: FieldInfo) -> str:
    if field.is_required():
        return "*needed*"
    return f"`{json.dumps(field.default)}`" if field.default not in (None, ()) else ""


def _cell(text: str | None) -> str:
    """A text in one cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")
