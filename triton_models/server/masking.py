"""Keeps a secret out of the process list: Triton accepts its control key as an argument and in no other way.

Every user of a machine may read the arguments of its processes (/proc/PID/cmdline), but only their own user may read
their environment. So the arguments that tell the secret lie in the environment of the new process, and those in the
list have a word in its place. A process finds its arguments by pointers on its stack: before its first instruction its
parent turns them, and writes over the secret as soon as it has been read. Imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from triton_models.server.proc import PROC, below, parents

SECRET = "@control-key@"
"""Stands for the secret in arguments."""

_VARIABLE = "RAYTON_ARGUMENT_"
_MASK = b"x"
_POINTER = struct.Struct("=Q")
_ARG_START, _ENV_START = 45, 47
"""Of the fields behind the name of a process in /proc/PID/stat (proc_pid_stat(5))."""
_PTRACE_TRACEME, _PTRACE_DETACH = 0, 17


def start_unseen(command: list[str], secret: str, prepare: Callable[[], None]) -> subprocess.Popen[bytes]:
    """Starts a command in whose arguments `SECRET` stands for a secret; `prepare` is called between fork and exec.

    Raises OSError where the kernel does not let a process change its child; then nothing was started.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def prepare_to_be_stopped() -> None:
        prepare()
        if libc.ptrace(_PTRACE_TRACEME, 0, None, None):
            raise OSError(ctypes.get_errno(), "a child cannot be traced")

    hidden = {f"{_VARIABLE}{place}": word for place, word in enumerate(command) if SECRET in word}
    told = {name: word.replace(SECRET, secret) for name, word in hidden.items()}
    try:
        child = subprocess.Popen(command, env=os.environ | told, preexec_fn=prepare_to_be_stopped)
    except subprocess.SubprocessError as error:
        raise OSError(f"the kernel lets no process trace its child: {error}") from error
    os.waitpid(child.pid, 0)  # it has stopped before its first instruction
    try:
        _turn_pointers(child.pid, hidden)
    except BaseException:
        child.kill()  # with the word for its key, which is no secret, it must not run
        child.wait()
        raise
    libc.ptrace(_PTRACE_DETACH, child.pid, None, None)
    return child


def _turn_pointers(pid: int, hidden: Mapping[str, str]) -> None:
    """Makes the arguments in `hidden` begin where the variables of those names have their values. Raises OSError."""
    process = PROC / str(pid)
    arg_start, env_start = _starts(process)
    arguments, environment = (b"\0" + (process / name).read_bytes() for name in ("cmdline", "environ"))
    with (process / "mem").open("r+b", buffering=0) as memory:
        bottom = _bottom_of_stack(process)
        memory.seek(bottom)
        stack = memory.read(arg_start - bottom)
        for name, word in hidden.items():
            place = arg_start + arguments.index(b"\0%b\0" % word.encode())
            value = env_start + environment.index(b"\0%b=" % name.encode()) + len(name) + 1
            pointer = _POINTER.pack(place)
            if stack.count(pointer) != 1:
                raise OSError(f"{stack.count(pointer)} pointers to an argument were found in process {pid}")
            memory.seek(bottom + stack.index(pointer))
            memory.write(_POINTER.pack(value))


def masked(pid: int, secret: str) -> bool:
    """Writes over a secret among what a process was started with, once it has read that; False: it has not yet.

    A program reads its arguments before it starts its second thread. Raises OSError where the kernel does not allow it.
    """
    process = PROC / str(pid)
    if len(list((process / "task").iterdir())) < 2:
        return False
    wanted = secret.encode()
    with (process / "mem").open("r+b", buffering=0) as memory:
        for start, name in zip(_starts(process), ("cmdline", "environ"), strict=True):
            for place in _places(wanted, (process / name).read_bytes()):
                memory.seek(start + place)
                memory.write(_MASK * len(wanted))
    return True


def shown_by(pid: int, secret: str) -> bool:
    """Whether the arguments of a process, or of one below it, tell a secret."""
    return any(secret in _arguments(one) for one in (pid, *below(pid, parents())))


def _starts(process: Path) -> tuple[int, int]:
    """Where the arguments and the environment of a process begin in its memory."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[_ARG_START]), int(fields[_ENV_START])


def _bottom_of_stack(process: Path) -> int:
    lines = (process / "maps").read_text().splitlines()
    return next(int(line.partition("-")[0], 16) for line in lines if line.endswith("[stack]"))


def _places(wanted: bytes, content: bytes) -> Iterator[int]:
    at = content.find(wanted)
    while at >= 0:
        yield at
        at = content.find(wanted, at + len(wanted))


def _arguments(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""  # it has ended
