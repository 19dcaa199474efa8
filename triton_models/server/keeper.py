"""Runs a server as its child, and makes sure that neither it nor its stubs nor its memory outlive their owner.

A process of its own, because only a process that lives on can clean up after one that was killed. It is started as a
script by an interpreter without site-packages: nothing that needs more than the standard library may be imported here.

    python keeper.py OWNER_PID IDENTITY NICENESS COMMAND... < KEY

KEY, which may be empty, takes the place of the word @control-key@ in COMMAND, and is kept out of the process list.

NICENESS is `normal`, or `background` for a server that gets only the processor time that nobody else wants. Its owner
is whoever started it. SIGTERM is passed on to the server, which finishes its requests; SIGQUIT kills it. So does the
owner's death, of whatever cause. The exit status is the server's, or 128 + the signal that killed it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from triton_models.server.masking import SECRET, masked, start_unseen
from triton_models.server.proc import parents, start_of

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "rayton"
NORMAL, BACKGROUND = "normal", "background"
MASK_EVERY_S = 0.002
AUTOGROUP = Path("/proc/self/autogroup")
LEAST = 19
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
LONGEST_SLICE_NS = 100_000_000
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
FORWARDED = {signal.SIGTERM: signal.SIGTERM, signal.SIGINT: signal.SIGTERM, signal.SIGQUIT: signal.SIGKILL}


def identity(owner: int, token: str) -> str:
    """The name of a server and of all its shared memory: it tells whose it is, and that in which PID namespace."""
    return f"{PREFIX}-{pid_namespace()}-{owner}-{token}"


def reap_shared_memory(server: str) -> None:
    """Removes the segments of one server that is gone."""
    for segment in SHARED_MEMORY.glob(f"{server}*"):
        segment.unlink(missing_ok=True)


def reap_orphaned_shared_memory() -> None:
    """Removes the segments of servers whose owner is gone, which is possible only if their keeper was killed too."""
    for segment in SHARED_MEMORY.glob(f"{PREFIX}-{pid_namespace()}-*"):
        owner = segment.name.split("-")[2]
        if owner.isdecimal() and start_of(int(owner)) is None:
            try:
                segment.unlink(missing_ok=True)
            except PermissionError:
                continue  # another user's


def main() -> int:
    """Keeps one server until it ends or loses its owner; the owner's child only stands for the keeper.

    Whoever ends the owner may kill its children in the same breath, as Ray does: the grandchild is left to clean up.
    """
    owner, server, background, command = int(sys.argv[1]), sys.argv[2], sys.argv[3] == BACKGROUND, sys.argv[4:]
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    secret = sys.stdin.read()
    owner_fd = os.pidfd_open(owner)
    if os.getppid() != owner:  # it died before its descriptor was opened, which may name a stranger
        return 128 + signal.SIGKILL
    stand_in = os.getpid()
    if keeper := os.fork():
        return _stand_for(keeper)
    stand_in_fd = os.pidfd_open(stand_in)
    if os.getppid() != stand_in:
        return 128 + signal.SIGKILL
    return _keep(command, secret, server, [owner_fd, stand_in_fd], background)


def _stand_for(keeper: int) -> int:
    """Passes signals on to the keeper, and its exit status back."""
    _forward({received: received for received in FORWARDED}, os.pidfd_open(keeper))
    _, status = os.waitpid(keeper, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _keep(command: list[str], secret: str, server: str, masters: list[int], background: bool) -> int:
    """Runs the server until it ends or the process behind one of the descriptors in `masters` does."""
    libc = ctypes.CDLL(None)
    # Stubs whose server died become this process's children, where they can be found.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = _started(command, secret, lambda: _prepare_child(libc, background))
    child_fd = os.pidfd_open(child.pid)
    _forward(FORWARDED, child_fd)
    hidden = not secret
    while not (ended := select.select([child_fd, *masters], [], [], None if hidden else MASK_EVERY_S)[0]):
        hidden = _hidden(child.pid, secret)
    if child_fd not in ended:
        child.kill()
    status = child.wait()
    _kill_descendants()
    reap_shared_memory(server)
    return status if status >= 0 else 128 - status


def _started(command: list[str], secret: str, prepare: Callable[[], None]) -> subprocess.Popen[bytes]:
    if secret:
        try:
            return start_unseen(command, secret, prepare)
        except (OSError, ValueError) as error:
            print(f"the control key is in the process list for a moment: {error}", file=sys.stderr, flush=True)
    return subprocess.Popen([word.replace(SECRET, secret) for word in command], preexec_fn=prepare)


def _hidden(pid: int, secret: str) -> bool:
    """Whether nothing more can be done to take a secret out of the process list; whoever started it looks again."""
    try:
        return masked(pid, secret)
    except OSError as error:
        print(f"the control key stays where it can be read: {error}", file=sys.stderr, flush=True)
        return True


def _forward(signals: dict[signal.Signals, signal.Signals], process_fd: int) -> None:
    """From now on passes signals on to a process; one that has ended misses nothing."""

    def forward(received: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process_fd, signals[signal.Signals(received)])

    for received in signals:
        signal.signal(received, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)


def _prepare_child(libc: ctypes.CDLL, background: bool) -> None:
    """Between fork and exec: the server dies with its keeper, and hears signals that the keeper holds back."""
    if background:
        step_back()
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)


def step_back(niceness: int = LEAST) -> None:
    """Takes only time that nobody else wants, for this process and all that it will start; needs no privilege.

    `niceness` is that of its session among all sessions: `LEAST` leaves it next to nothing while others want all.

    A processor that runs nothing but such processes counts as idle when others look for one. Where the kernel groups
    processes by session, it first shares the processors among the groups: then the group has to step back too. No
    group is as idle as its processes are, and somebody who wakes would wait for the end of its slice of time, unless
    his own slice is shorter: so the slices become long.
    """
    if not has_stepped_back():
        take_slices(LONGEST_SLICE_NS)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if AUTOGROUP.exists():
        set_autogroup(niceness)


def step_forward() -> None:
    """Takes time as others do again, for a process that one that is nice or has stepped back has started.

    Its session is to be one of its own. Raises PermissionError for a user without the right to it.
    """
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    take_slices(0)


def has_stepped_back() -> bool:
    """Whether this process takes only time that nobody else wants."""
    return os.sched_getscheduler(0) == os.SCHED_IDLE


def take_slices(nanoseconds: int) -> None:
    """How long this process runs at a time where others wait, under the usual policy; 0: as the kernel has it.

    Linux has known slices since 6.12 and forgets none when the policy changes; older ones read over them.

    The call and its structure are those of sched_setattr(2), for which neither Python nor older C libraries have a
    function.
    """
    if call := SCHED_SETATTR.get(platform.machine()):
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        layout = "IIQiIQQQ"  # size, policy, flags, niceness, priority, slice, and two that are of other policies
        size = struct.calcsize(layout)
        attributes = struct.pack(layout, size, os.SCHED_OTHER, 0, niceness, 0, nanoseconds, 0, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(call, 0, attributes, 0):
            raise OSError(
                ctypes.get_errno(), f"the kernel takes no slices of {nanoseconds / 1e6:g} ms for this process"
            )


def autogroup() -> int | None:
    """The niceness of this process's session among all sessions; None where the kernel does not group by session."""
    return int(AUTOGROUP.read_text().split()[-1]) if AUTOGROUP.exists() else None


def set_autogroup(niceness: int) -> None:
    """Sets the niceness of this process's session among all sessions; needs no privilege for 0 and more."""
    while True:
        try:
            AUTOGROUP.write_text(str(niceness))
        except BlockingIOError:  # the kernel takes ten of these a second from all users together
            time.sleep(0.1)
        else:
            return


def _kill_descendants() -> None:
    """Kills stubs until none is left; each one killed may hand its own children over."""
    while children := [pid for pid, parent in parents().items() if parent == os.getpid()]:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def pid_namespace() -> int:
    """Containers may share /dev/shm but not their process numbers."""
    return Path("/proc/self/ns/pid").stat().st_ino


if __name__ == "__main__":
    sys.exit(main())
