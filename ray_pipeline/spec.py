"""`job.toml`: what a person writes, checked before anything starts."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from ray_pipeline.chunk import INTERNAL
from ray_pipeline.errors import JobFileError
from ray_pipeline.sections import (
    InputSpec,
    ModelSpec,
    OutputSpec,
    Section,
    SharingSpec,
    StorageSpec,
    TlsSpec,
    TritonSpec,
)
from triton_models.errors import cut


class JobSpec(Section):
    """All that a job file says."""

    input: InputSpec
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    output: OutputSpec
    triton: TritonSpec
    sharing: SharingSpec | None = None
    storage: StorageSpec = StorageSpec()

    @model_validator(mode="after")
    def _shared_with_somebody(self) -> Self:
        if self.beside_users is not None and self.beside_users.lane == "shared" and self.triton.url is None:
            raise ValueError('sharing.lane = "shared" needs triton.url, the server that online users have too')
        if self.beside_users is not None and self.beside_users.bulk_url is not None and self.triton.url is None:
            raise ValueError("sharing.bulk_url needs triton.url, the server of the online users whom it is beside")
        return self

    @property
    def beside_users(self) -> SharingSpec | None:
        """How the job keeps out of the way of online users; None if it does not."""
        return self.sharing if self.sharing is not None and self.sharing.mode == "shared" else None

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        columns = [*self.input.keep, *(column for model in self.models for column in model.outputs.values())]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise ValueError(f"the output would have the column {twice[0]!r} twice; name one of them otherwise")
        taken = [column for column in columns if column.startswith(INTERNAL)]
        if taken:
            raise ValueError(f"the output cannot have a column {taken[0]!r}; names with {INTERNAL!r} are taken")
        return self

    @model_validator(mode="after")
    def _each_model_once(self) -> Self:
        names = [model.name for model in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"model {twice[0]!r} is there twice; score its other version or column with another job")
        return self


def load_job(path: Path) -> JobSpec:
    """Reads a job file. Raises JobFileError naming every wrong key, with the nearest right one."""
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise JobFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and a number of thousands of digits
        raise JobFileError(f"{path} is not valid TOML: {error}") from error
    except RecursionError:
        raise JobFileError(f"{path} is not valid TOML: it is nested too deep") from None
    try:
        return JobSpec.model_validate(found)
    except ValidationError as error:
        problems = "\n".join(f"  {explained(problem)}" for problem in error.errors())
        raise JobFileError(f"{path} has mistakes:\n{problems}") from error


def explained(problem: Any) -> str:
    """One of the problems that pydantic has found, for people: where it is, and what is wrong there."""
    *section, key = problem["loc"] or ("job",)
    name = ".".join(cut(str(part)) for part in problem["loc"]) or "job"
    if problem["type"] == "extra_forbidden":
        known = _keys_of(section)
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{name}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{name}: missing"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}"


def _keys_of(section: list[Any]) -> list[str]:
    sections: dict[str, type[Section]] = {
        "input": InputSpec,
        "models": ModelSpec,
        "output": OutputSpec,
        "triton": TritonSpec,
        "sharing": SharingSpec,
        "storage": StorageSpec,
    }
    if section[:2] == ["triton", "tls"]:
        return list(TlsSpec.model_fields)
    return list((sections[str(section[0])] if section else JobSpec).model_fields)
