"""Looks for secrets in everything that a command wrote or showed."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq


class Secrets:
    """The secrets of a test, in every form in which they may be written."""

    def __init__(self, *secrets: str) -> None:
        self._forms = [form for secret in secrets for form in _forms(secret.encode())]

    def in_bytes(self, content: bytes) -> bool:
        """Whether one of them is written in it, also where it is a table that was compressed."""
        whole = content + _unpacked(content)
        return any(form in whole for form in self._forms)

    def in_files(self, folder: Path) -> list[str]:
        """The files below a folder in which one is written."""
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return sorted(str(path) for path in files if self.in_bytes(path.read_bytes()))

    def in_bucket(self, client: Any, bucket: str) -> list[str]:
        """The objects in whose key or content one is written."""
        found = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for key in (one["Key"] for one in page.get("Contents", [])):
                if self.in_bytes(key.encode() + b"\n" + client.get_object(Bucket=bucket, Key=key)["Body"].read()):
                    found.append(key)
        return found

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Reads the command lines of all processes of the machine for as long as the block lasts."""
        seen = Watch()
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(seen, over))
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()

    def _watch(self, seen: Watch, over: threading.Event) -> None:
        while not over.wait(0.02):
            for command in _command_lines():
                seen.commands.add(command)
                if self.in_bytes(command):
                    seen.guilty.add(command)


class Watch:
    """All command lines that were seen, and those of them that held a secret."""

    def __init__(self) -> None:
        self.commands: set[bytes] = set()
        self.guilty: set[bytes] = set()


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield quote(secret, safe="").encode()
    for shift in range(3):  # base64 of a text that holds it, at each of its three places
        encoded = base64.b64encode(b"\0" * shift + secret)
        yield encoded[4 if shift else 0 : len(encoded) - 4]


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"PAR1"):
        return b""
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError):
        return b""
    return repr((table.to_pylist(), table.schema.metadata)).encode()


def _command_lines() -> Iterable[bytes]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_bytes()
        except OSError:
            continue
