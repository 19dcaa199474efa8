"""Containers of images, run by buildah without an engine: `BUILDER` is its command, buildah's own settings apply."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_models.server.proc import below, parents

END_S = 90.0
"""How long the processes of a container may take to end."""


@dataclass(frozen=True)
class Container:
    """A container of an image: what the image says of it, and the folders of this machine that it sees.

    `volumes` maps folders to `PATH:ro` or `PATH:rw`. `root` is its file system as seen from outside.
    """

    name: str
    root: Path
    config: Mapping[str, Any]
    volumes: Mapping[Path, str]

    @property
    def entrypoint(self) -> list[str]:
        """The command that the image runs."""
        return list(self.config["Entrypoint"])

    @property
    def arguments(self) -> list[str]:
        """The arguments that the image gives its command where a user gives none."""
        return list(self.config["Cmd"])

    @property
    def health_check(self) -> list[str]:
        """The command that tells whether a container is healthy."""
        return list(self.config["Healthcheck"]["Test"][1:])

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        """Runs a command to its end and shows it. Raises CalledProcessError."""
        with self.running(*words, environment=environment) as process:
            process.wait()
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, words)

    @contextmanager
    def running(
        self, *words: str, environment: Mapping[str, str] | None = None, stdout: int | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """A command that runs while the block does, and is then told to end with SIGTERM, as an engine does."""
        print(f"$ {shlex.join(words)}", flush=True)
        volumes = [option for path, seen in self.volumes.items() for option in ("--volume", f"{path}:{seen}")]
        settings = [option for name, value in (environment or {}).items() for option in ("--env", f"{name}={value}")]
        command = [*builder(), "run", *volumes, *settings, self.name, "--", *words]
        process = subprocess.Popen(command, stdout=stdout, text=True)
        try:
            yield process
        finally:
            for pid in _inside(process.pid)[:1]:
                os.kill(pid, signal.SIGTERM)  # to buildah itself it would mean to kill what runs inside
            process.communicate(timeout=END_S)


@contextmanager
def container(image: str, volumes: Mapping[Path, str]) -> Iterator[Container]:
    """A new container of an image, removed afterwards."""
    name = _told("from", "--pull-never", image)
    try:
        found = json.loads(_told("inspect", "--type", "image", image))["Docker"]["config"]
        yield Container(name, Path(_told("mount", name)).resolve(), found, volumes)
    finally:
        _told("rm", name)


def builder() -> Sequence[str]:
    """buildah's command."""
    return shlex.split(os.environ.get("BUILDER", "buildah"))


def _told(*words: str) -> str:
    done = subprocess.run([*builder(), *words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def _inside(pid: int) -> list[int]:
    """The processes of a container, the first one first, by the process that runs it; those of buildah are left out."""
    return [one for one in below(pid, parents()) if not _is_of_buildah(one)]


def _is_of_buildah(pid: int) -> bool:
    try:
        return "buildah" in Path(f"/proc/{pid}/exe").readlink().name
    except FileNotFoundError:
        return True  # it has ended, and only its parent does not know yet
