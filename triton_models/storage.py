"""One folder of files, on a local disk or in an object store, with writes that are seen whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

import pyarrow as pa
from pyarrow import fs

from triton_models import disk, healing, object_store
from triton_models.addresses import check_endpoint, checked_uri
from triton_models.errors import StorageError
from triton_models.healing import TIMEOUT_S, shortened
from triton_models.inside import is_inside

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_Result = TypeVar("_Result")

ONE_COPY_BYTES = 5 * 2**30
"""The largest object that S3 copies by itself in one request."""

LISTINGS = 10
"""How often a folder of a disk that comes and goes while it is listed is listed again."""


@dataclass(frozen=True)
class ObjectInfo:
    """A file below a folder: its path there, its size in bytes, and a stamp that changes when its content does."""

    path: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Storage:
    """The folder at `uri`; every path given to a method is relative to it, with `/` between its parts.

    A path that leads out of the folder is a StorageError: it may come from a file that others have written.

    Can be pickled, so that workers on other machines open the same folder. Credentials are not part of it: each process
    finds them where the cloud's own tools look, in its environment or its instance's role.

    An object store that throttles, fails or breaks off is asked again: StoreGoneError says that it has failed for
    `timeout_s`. Only what is read from an `open` file is not; `healed` is for that.
    """

    uri: str
    root: str
    filesystem: fs.FileSystem
    endpoint_url: str | None = None
    timeout_s: float = TIMEOUT_S

    @property
    def local(self) -> Path | None:
        """The folder on this machine's disk, or None in an object store."""
        return Path(self.root) if isinstance(self.filesystem, fs.LocalFileSystem) else None

    def at(self, path: str) -> Storage:
        """The folder at `path` below this one."""
        return replace(self, uri=f"{self.uri}/{path}", root=self._full(path))

    def healed(self, operation: Callable[[], _Result], path: str = "") -> _Result:
        """Does something that only reads, `path` above all, and does all of it again after a failure that can heal.

        The failure may be the cause of another error, such as one that names the file. Other errors pass at once.
        """
        return healing.healed(operation, f"{self.uri}/{path}".rstrip("/"), self.timeout_s)

    def folders(self, path: str = "") -> list[str]:
        """The names of the folders right below `path`, sorted; none if it does not exist."""
        found = self._listed(fs.FileSelector(self._full(path), allow_not_found=True))
        names = (info.base_name for info in found if info.type == fs.FileType.Directory)
        return sorted(name for name in names if is_inside(name))

    def objects(self, *, hidden: bool = False) -> list[ObjectInfo]:
        """Every file below, at any depth, sorted by path. Names that begin with `.` or `_` only if `hidden`.

        The keys of a bucket are any texts; one with `..` in it is no file of a folder.
        """
        found = self._listed(fs.FileSelector(self.root, allow_not_found=True, recursive=True))
        objects = [self._object(info) for info in found if info.type == fs.FileType.File]
        wanted = [one for one in objects if is_inside(one.path) and (hidden or not _is_hidden(one.path))]
        return sorted(wanted, key=lambda one: one.path)

    def stat(self, path: str) -> ObjectInfo | None:
        """The file at `path`, or None if there is none."""
        info = self._asked(lambda: self.filesystem.get_file_info(self._full(path)), path)
        return self._object(info) if info.type == fs.FileType.File else None

    def age_s(self, path: str) -> float | None:
        """Seconds since a file was written, by the clocks of this machine and the store; None if there is none."""
        info = self._asked(lambda: self.filesystem.get_file_info(self._full(path)), path)
        return time.time() - info.mtime_ns / 1e9 if info.type == fs.FileType.File else None

    def open(self, path: str) -> pa.NativeFile:
        """A file to read, at any position. Raises FileNotFoundError."""
        return self._asked(lambda: self.filesystem.open_input_file(self._full(path)), path)

    def read(self, path: str) -> bytes:
        """The whole content of a file. Raises FileNotFoundError."""
        return self._asked(lambda: self._whole(path), path)

    def write(self, path: str, content: bytes | pa.Buffer | Path) -> None:
        """Puts a file in its place in one step, over one that is there: a reader sees the old or the new, never a part.

        A `Path` is a file of this machine, which is copied in pieces. An object store gets one upload, whose size is
        checked; a disk gets a temporary file that is synced and renamed.
        """
        if self.local is not None:
            disk.write_file(Path(self._full(path)), content)
            return
        self._full(path)
        if isinstance(content, Path):
            self.healed(lambda: object_store.put_pieces(self._store(), path, content, self.uri), path)
            self._check_size(path, content.stat().st_size)
            return
        self._asked(lambda: self._put(path, content), path)
        self._check_size(path, memoryview(content).nbytes)

    def create(self, path: str, content: bytes) -> bool:
        """Puts a file in its place in one step unless there is one: of all who try, exactly one gets True.

        Raises StorageError for a store that does not know conditional writes.
        """
        if self.local is not None:
            return disk.create_file(Path(self._full(path)), content)
        self._full(path)
        if not self._put_new(path, content):
            return False
        if self.healed(lambda: object_store.put_new(self._store(retries=0), path, content, self.uri), path):
            # It ignores the condition and takes every write, ours and those of others.
            self.delete(path)
            raise StorageError(
                f"{self.uri}: the store overwrites a file that was to be created only where there is none (it ignores "
                "If-None-Match), so two exports at once could destroy each other; use a store that knows such writes"
            )
        return True

    def copy(self, source: str, target: str) -> None:
        """Copies a file below this folder; an object store does so by itself, up to 5 GiB. Raises FileNotFoundError."""
        found = self.stat(source)
        if found is None:
            raise FileNotFoundError(f"{self.uri}/{source}")
        if self.local is not None:
            disk.write_file(Path(self._full(target)), Path(self._full(source)))
            return
        if found.size <= ONE_COPY_BYTES:
            self._asked(lambda: self.filesystem.copy_file(self._full(source), self._full(target)), target)
        else:
            self.healed(lambda: object_store.put_pieces(self._store(), target, self.pieces(source), self.uri), target)
        self._check_size(target, found.size)

    def pieces(self, path: str) -> Iterator[bytes]:
        """The content of a file, a few MiB at a time. Raises FileNotFoundError."""
        with self.open(path) as file:
            for start in range(0, file.size(), object_store.PIECE_BYTES):
                yield self._asked(partial(file.read_at, object_store.PIECE_BYTES, start), path)

    def delete(self, *paths: str) -> None:
        """Removes files; it does not matter if they are not there."""
        whole = [self._full(path) for path in paths]
        if self.local is None:
            self.healed(lambda: object_store.delete(self._store(), paths, self.uri))
            return
        with _explained(self.uri):
            for path in whole:
                Path(path).unlink(missing_ok=True)

    def _store(self, retries: int = object_store.RETRIES) -> ObjectStore:
        return object_store.open_store(self.filesystem, self.root, self.endpoint_url, retries)

    def _listed(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        # A folder of a disk that comes to be between Arrow's two questions, for what is in it and whether it is there,
        # is said to be missing all the same, whatever `allow_not_found` says; the next listing sees it.
        for _ in range(LISTINGS - 1):
            with suppress(FileNotFoundError):
                return self._asked(lambda: self.filesystem.get_file_info(selector))
        return self._asked(lambda: self.filesystem.get_file_info(selector))

    def _asked(self, operation: Callable[[], _Result], path: str = "") -> _Result:
        with _explained(self.uri):
            return self.healed(operation, path)

    def _whole(self, path: str) -> bytes:
        with self.filesystem.open_input_file(self._full(path)) as file:
            content: bytes = file.read()
            return content

    def _put(self, path: str, content: bytes | pa.Buffer) -> None:
        # Told nothing, Arrow would compress what is called `.gz` once more.
        with self.filesystem.open_output_stream(self._full(path), compression=None) as stream:
            stream.write(content)

    def _put_new(self, path: str, content: bytes) -> bool:
        """One that is there after an answer was lost is ours if it has our content."""
        tries = 0

        def attempt() -> bool:
            nonlocal tries
            tries += 1
            # Only here it is known whether there was an earlier attempt; hence obstore shall make no more of its own.
            return object_store.put_new(self._store(retries=0), path, content, self.uri)

        return self.healed(attempt, path) or (tries > 1 and self.read(path) == content)

    def _check_size(self, path: str, wanted: int) -> None:
        written = self.stat(path)
        if written is None or written.size != wanted:
            there = written.size if written else "nothing"
            raise StorageError(f"{self.uri}/{path}: {wanted} bytes were sent but the store holds {there}; run again")

    def _full(self, path: str) -> str:
        if path and not is_inside(path):
            raise StorageError(f"{self.uri}: the path {path!r} leads out of this folder; look who wrote it")
        return f"{self.root}/{path}".rstrip("/") if path else self.root

    def _object(self, info: fs.FileInfo) -> ObjectInfo:
        path = info.path.removeprefix(self.root).lstrip("/")
        return ObjectInfo(path, info.size, f"{info.size}-{info.mtime_ns}")


def open_storage(uri: str, endpoint_url: str | None = None, timeout_s: float = TIMEOUT_S) -> Storage:
    """Opens a folder: a local path, `file://`, `s3://`, `gs://`. Nothing is read yet. Raises StorageError.

    `endpoint_url` is the address of an S3-compatible store that is not Amazon's, such as `http://127.0.0.1:9000`;
    `timeout_s` is how long a store that fails is waited for; 0 is not at all.
    """
    plain = checked_uri(uri, endpoint_url)
    if "://" not in plain:
        return Storage(plain, plain, fs.LocalFileSystem())
    address = endpoint_url or object_store.endpoint(os.environ)
    if plain.startswith("s3://") and address is not None:
        check_endpoint(address, "endpoint_url" if endpoint_url else "AWS_ENDPOINT_URL")
        return Storage(plain, plain.removeprefix("s3://"), _s3_compatible(address), endpoint_url, timeout_s)
    with _explained(plain):
        # Quoted, because a key may hold what means something in a URI, such as a space or a `?`.
        store, root = healing.healed(lambda: fs.FileSystem.from_uri(quote(plain, safe=":/")), plain, timeout_s)
    return Storage(plain, root, _s3(region=store.region) if plain.startswith("s3://") else store, timeout_s=timeout_s)


_CONNECT_S = 3.0
_SILENCE_S = 15.0
"""How long a store may send nothing before a request is taken for lost; it copies gigabytes in one request."""


def _s3_compatible(endpoint_url: str) -> fs.S3FileSystem:
    endpoint = urlsplit(endpoint_url)
    return _s3(endpoint_override=endpoint.netloc, scheme=endpoint.scheme)


def _s3(**settings: str) -> fs.S3FileSystem:
    # Delayed: a small object is one request; otherwise each is a multipart upload of three.
    return fs.S3FileSystem(**settings, allow_delayed_open=True, request_timeout=_SILENCE_S, connect_timeout=_CONNECT_S)


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{uri} cannot be used: {shortened(error)}") from error
