"""What is examined before the embedded server starts."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from triton_models.server.binary import embedded_binary
from triton_models.server.errors import BrokenRuntimeError
from triton_models.server.runtime import Runtime


@pytest.fixture
def host_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A Python version whose shared library is found: that of the interpreter, put where it is looked for."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / f"libpython{version}.so.1.0").touch()
    monkeypatch.setitem(sysconfig.get_config_vars(), "LIBDIR", str(folder))
    return version


def test_a_missing_libpython_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(
        BrokenRuntimeError, match=r"libpython3\.99\.so\.1\.0 is not on .*apt-get install libpython3\.99"
    ):
        embedded_binary(Runtime(tmp_path, "3.99", ()))


def test_an_environment_that_was_emptied_is_said_to_be_broken(tmp_path: Path, host_python: str) -> None:
    with pytest.raises(BrokenRuntimeError, match=r"cannot be run .* `rayton runtime install`"):
        embedded_binary(Runtime(tmp_path, host_python, ()))
