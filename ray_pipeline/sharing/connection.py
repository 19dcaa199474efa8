"""How the limiter of a node is found, started where there is none, and talked to."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ray_pipeline.errors import FatalError, RetryableError
from ray_pipeline.sharing.messages import Message, encoded, parsed
from triton_models.server.credentials import NONE, Credentials, to_word

_PEER = struct.Struct("3i")  # struct ucred: process, user, group


def socket_name(address: str) -> str:
    """The name of the limiter's socket: abstract, so that it ends with its process and only one can have it."""
    host, _, port = address.rpartition(":")
    known = f"{'127.0.0.1' if host == 'localhost' else host}:{port}"
    return f"\0rayton-limiter-{os.getuid()}-{hashlib.sha256(known.encode()).hexdigest()[:24]}"


def peer_of(connected: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end of a Unix socket."""
    pid, user, _ = _PEER.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, user


def log_file_of(address: str, home: Path) -> Path:
    """Where the limiter writes its events, if this user's first holder had the same `home`."""
    return home / "logs" / f"limiter-{address.replace(':', '-').replace('/', '-')}.jsonl"


class Connection:
    """A connection to a limiter."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lines = connected.makefile("rb")

    @classmethod
    def open(
        cls, address: str, home: Path, linger_s: float, timeout_s: float, credentials: Credentials = NONE
    ) -> Connection:
        """Connects to the limiter of an address; starts it if it is not there, with what it shows to its server.

        Raises RetryableError if it could not be started in `timeout_s`, FatalError if its name is another user's or its
        log cannot be written.
        """
        found = cls._open(address)
        if found is None:
            _start(address, home, linger_s, timeout_s, credentials)
            found = cls._open(address)
        if found is None:
            raise RetryableError(f"the limiter of {address} was started and is gone; see {log_file_of(address, home)}")
        return found

    @classmethod
    def _open(cls, address: str) -> Connection | None:
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(socket_name(address))
        except ConnectionRefusedError:
            connected.close()
            return None
        pid, user = peer_of(connected)
        if user != os.getuid():
            connected.close()
            raise FatalError(
                f"process {pid} of user {user} stands in the place of the limiter of {address}; ask that user to end it"
            )
        return cls(connected)

    def send(self, *messages: Message) -> None:
        """Sends messages, if anybody is there to read them: that nobody is, `receive` tells."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(b"".join(map(encoded, messages)))

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Waits for the next message; None: the connection is closed. Raises MessageError; TimeoutError, once."""
        self._socket.settimeout(timeout_s)
        try:
            line = self._lines.readline()
        except ConnectionResetError:
            return None
        return parsed(line) if line.endswith(b"\n") else None

    def hang_up(self) -> None:
        """Ends the connection in both directions; whoever waits in `receive` returns."""
        with suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Gives the socket back; nobody may use it any more."""
        self._lines.close()
        self._socket.close()


def _start(address: str, home: Path, linger_s: float, timeout_s: float, credentials: Credentials) -> None:
    """Starts a limiter; it is no child of this process, nor in its session: it does not end with it."""
    log_file = log_file_of(address, home)
    words = ["-P", "-m", "ray_pipeline.sharing.limiter", address, str(log_file), str(linger_s), to_word(credentials)]
    with _opened(log_file) as log:
        began = log.tell()
        try:
            done = subprocess.run(
                [sys.executable, *words],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RetryableError(f"the limiter of {address} did not start in {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = log_file.read_bytes()[began:].decode(errors="replace").split("\n")
        why = next((line for line in reversed(said) if line.strip()), "it said nothing")
        raise RetryableError(f"the limiter of {address} did not start (exit status {done.returncode}): {why}")


def _opened(log_file: Path) -> BinaryIO:
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        return log_file.open("ab")
    except OSError as error:
        raise FatalError(
            f"the limiter's log {log_file} cannot be written: {error.strerror}; set RAYTON_HOME to a folder that can"
        ) from error
