"""The embedded server's private environment: a venv with Triton's binary and the packages that its models need.

It is apart from the one that Rayton runs in, because Triton's Python backend needs numpy 1: with numpy 2 it returns
wrong numbers without an error.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from triton_models.server.errors import RuntimeInstallError

Progress = Callable[[str], None]

# Every package of the environment, its dependencies included: nothing is left for pip to choose, and `--no-deps` keeps
# out what Triton's wheel would bring along for a Python API that is not used here.
PACKAGES = (
    "nvidia-pytriton==0.7.0",
    "numpy==1.26.4",
    "flatbuffers==25.12.19",
    "packaging==26.3",
    "protobuf==6.33.6",
)
ONNXRUNTIME = "onnxruntime==1.32.0"
ONNXRUNTIME_GPU = "onnxruntime-gpu==1.31.1"
# Versions for which there is both a stub of Triton's Python backend and a numpy 1.
PYTHON_VERSIONS = ("3.11", "3.12")

MARKER = "finished.json"
BACKENDS_SOURCE = Path(__file__).parent.parent / "backends"


@dataclass(frozen=True)
class Runtime:
    """A finished environment. `folder` holds the venv, the assembled backends and the marker of its completion."""

    folder: Path
    python_version: str
    packages: tuple[str, ...]

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.folder / "venv"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return self.venv / "lib" / f"python{self.python_version}" / "site-packages"

    @property
    def triton(self) -> Path:
        """The folder of Triton's binary, Python backend and stubs."""
        return self.site_packages / "pytriton" / "tritonserver"


def ensure_runtime(home: Path, progress: Progress, *, gpu: bool = False) -> Runtime:
    """The environment below `home`; it is made when it is not there, which `progress` is told in lines of text.

    Safe to be killed at any moment and to be called by several processes at once: one makes it, the others wait.
    Raises RuntimeInstallError.
    """
    if found := find_runtime(home, gpu=gpu):
        return found
    with _lock(home, progress):
        return find_runtime(home, gpu=gpu) or _make(home, progress, gpu)


def find_runtime(home: Path, *, gpu: bool = False) -> Runtime | None:
    """The environment below `home` that fits this release, or None where none was finished."""
    for python_version in PYTHON_VERSIONS:
        folder = _folder(home, python_version, gpu)
        if (folder / MARKER).is_file():
            return Runtime(folder, python_version, packages(gpu))
    return None


def remove_runtimes(home: Path, progress: Progress) -> list[Path]:
    """Removes every environment below `home`, of this and of other releases; returns their folders."""
    with _lock(home, progress):
        folders = sorted(path for path in _parent(home).iterdir() if path.is_dir())
        for folder in folders:
            (folder / MARKER).unlink(missing_ok=True)  # first, so that half an environment is never taken for a whole
            shutil.rmtree(folder)
    return folders


def packages(gpu: bool) -> tuple[str, ...]:
    """The pinned packages of an environment."""
    return (*PACKAGES, ONNXRUNTIME_GPU if gpu else ONNXRUNTIME)


def assemble_backends(runtime: Runtime) -> Path:
    """The backend directory: Triton's Python backend with the stub that fits, and this package's `onnxruntime`.

    Its name is a hash of its files, so that servers of different releases do not disturb each other.
    """
    files = dict(_backend_files(runtime))
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    target = runtime.folder / f"backends-{digest.hexdigest()[:12]}"
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory(dir=runtime.folder, prefix="assembling-") as scratch:
        staged = Path(scratch) / "backends"
        for name, path in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, staged / name)  # Triton refuses a backend library that is a symbolic link
        try:
            staged.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another server was faster, with the same files
                raise
    return target


def _backend_files(runtime: Runtime) -> Iterator[tuple[str, Path]]:
    python_backend = runtime.triton / "backends" / "python"
    stub = "triton_python_backend_stub"
    yield "python/libtriton_python.so", python_backend / "libtriton_python.so"
    yield "python/triton_python_backend_utils.py", python_backend / "triton_python_backend_utils.py"
    yield f"python/{stub}", runtime.triton / "python_backend_stubs" / runtime.python_version / stub
    for path in sorted(BACKENDS_SOURCE.glob("*/*.py")):
        yield f"{path.parent.name}/{path.name}", path


def _make(home: Path, progress: Progress, gpu: bool) -> Runtime:
    interpreter, python_version = _interpreter()
    folder = _folder(home, python_version, gpu)
    if folder.exists():
        progress("removing what an interrupted installation left")
        shutil.rmtree(folder)
    runtime = Runtime(folder, python_version, packages(gpu))
    progress(f"making the server's environment in {folder} (330 MB, once)")
    _run([interpreter, "-m", "venv", str(runtime.venv)], "make a virtual environment")
    progress(f"installing {', '.join(runtime.packages)}")
    pip = [str(runtime.venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run([*pip, "install", "--quiet", "--no-deps", "--only-binary=:all:", *runtime.packages], "install the packages")
    _finish(runtime)
    progress("the server's environment is ready")
    return runtime


def _finish(runtime: Runtime) -> None:
    """Writes the marker: complete or not there at all, also after a power cut."""
    scratch = runtime.folder / f"{MARKER}.new"
    with scratch.open("w") as file:
        json.dump({"python": runtime.python_version, "packages": runtime.packages}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(runtime.folder / MARKER)


def _run(command: list[str], purpose: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=_clean_environment(),
        check=False,
        close_fds=False,  # the lock is inherited: it holds until pip has ended, also when its parent was killed
    )
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeInstallError(f"cannot {purpose} for the server ({' '.join(command)}):\n" + "\n".join(told[-8:]))


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def _interpreter() -> tuple[str, str]:
    """A Python for the environment: the running one if it will do, otherwise the first on the PATH that does."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if running in PYTHON_VERSIONS:
        return sys.executable, running
    for version in PYTHON_VERSIONS:
        if found := shutil.which(f"python{version}"):
            return found, version
    raise RuntimeInstallError(
        f"the embedded server needs Python {' or '.join(PYTHON_VERSIONS)}, this is {running} and there is none on the "
        "PATH; install one, or use a server of your own with --tritonserver"
    )


def _parent(home: Path) -> Path:
    return home / "runtimes"


def _folder(home: Path, python_version: str, gpu: bool) -> Path:
    digest = hashlib.sha256("\n".join(packages(gpu)).encode()).hexdigest()[:8]
    return _parent(home).absolute() / f"triton-py{python_version}-{'gpu' if gpu else 'cpu'}-{digest}"


@contextmanager
def _lock(home: Path, progress: Progress) -> Iterator[None]:
    """One installation at a time. The kernel gives the lock back when its holder dies."""
    try:
        _parent(home).mkdir(parents=True, exist_ok=True)
        file = (_parent(home) / "lock").open("w")
    except OSError as error:
        raise RuntimeInstallError(f"cannot keep the server's environment in {home}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is installing the server's environment, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
        yield
