"""A `tritonserver` that can be started: the embedded one, or one that the machine or the container brings along."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triton_models.server.errors import BrokenRuntimeError, StartError
from triton_models.server.runtime import Runtime, assemble_backends


@dataclass(frozen=True)
class Binary:
    """What to execute and in which environment. `backend_directory` None means the binary's own."""

    path: Path
    environment: Mapping[str, str]
    backend_directory: Path | None

    @property
    def is_embedded(self) -> bool:
        """Whether it runs from the private environment that Rayton installed."""
        return self.backend_directory is not None


def embedded_binary(runtime: Runtime) -> Binary:
    """The server of a private environment, examined before every start. Raises BrokenRuntimeError."""
    if shlex.quote(str(runtime.folder)) != str(runtime.folder):
        raise BrokenRuntimeError(
            f"the embedded server cannot run from {runtime.folder}: Triton hands this path to a shell, which takes its "
            "spaces and signs for its own; keep it elsewhere, with RAYTON_HOME"
        )
    environment = _embedded_environment(runtime)
    _refuse_numpy_2(runtime, environment)
    return Binary(runtime.triton / "bin" / "tritonserver", environment, assemble_backends(runtime))


def external_binary(path: Path) -> Binary:
    """A `tritonserver` of the system or of the container, with its own backends. Raises StartError."""
    if not path.is_file() or not os.access(path, os.X_OK):
        raise StartError(f"{path} is not a program; give the path of a tritonserver executable")
    return Binary(path.absolute(), dict(os.environ), None)


def _embedded_environment(runtime: Runtime) -> dict[str, str]:
    """Triton's stubs find their packages through PATH and VIRTUAL_ENV.

    What could bring other packages in between is taken out: a PYTHONPATH with numpy 2 would falsify every answer.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    libraries = [str(runtime.site_packages / "nvidia_pytriton.libs")]
    if folder := _libpython_folder(runtime.python_version):
        libraries.append(str(folder))
    if inherited := environment.get("LD_LIBRARY_PATH"):
        libraries.append(inherited)
    return environment | {
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PATH": os.pathsep.join([str(runtime.venv / "bin"), environment.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(runtime.venv),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _refuse_numpy_2(runtime: Runtime, environment: Mapping[str, str]) -> None:
    python = str(runtime.venv / "bin" / "python")
    command = [python, "-c", "import numpy, onnxruntime; print(numpy.__version__)"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BrokenRuntimeError(f"{python} cannot be run ({error.strerror}); {_REPAIR}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise BrokenRuntimeError(f"the server's environment in {runtime.folder} is broken: {reason}; {_REPAIR}")
    version = done.stdout.strip()
    if int(version.split(".")[0]) >= 2:
        raise BrokenRuntimeError(
            f"the server's environment in {runtime.folder} has numpy {version}, with which Triton's Python backend "
            f"returns wrong numbers; it needs numpy 1; {_REPAIR}"
        )


_REPAIR = "make it anew with `rayton runtime remove` and `rayton runtime install`"


def _libpython_folder(python_version: str) -> Path | None:
    """The folder of the shared Python library that Triton's stub needs; None where the system finds it by itself."""
    library = f"libpython{python_version}.so.1.0"
    if sysconfig.get_python_version() == python_version:
        folder = Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent")
        if (folder / library).is_file():
            return folder
    ldconfig = shutil.which("ldconfig", path=os.pathsep.join([os.environ.get("PATH", ""), "/sbin", "/usr/sbin"]))
    if ldconfig is not None:
        known = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
        if library in known:
            return None
    raise BrokenRuntimeError(
        f"{library} is not on this machine, and the embedded server needs it; install it with "
        f"`apt-get install libpython{python_version}` (Debian, Ubuntu) or the like of your system"
    )
