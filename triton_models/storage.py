"""One folder of files, on a local disk or in an object store, with writes that are seen whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pyarrow as pa
from pyarrow import fs

from triton_models.errors import StorageError


@dataclass(frozen=True)
class ObjectInfo:
    """A file below a folder: its path there, its size in bytes, and a stamp that changes when its content does."""

    path: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Storage:
    """The folder at `uri`; every path given to a method is relative to it, with `/` between its parts.

    Can be pickled, so that workers on other machines open the same folder. Credentials are not part of it: each process
    finds them where the cloud's own tools look, in its environment or its instance's role.
    """

    uri: str
    root: str
    filesystem: fs.FileSystem

    @property
    def local(self) -> Path | None:
        """The folder on this machine's disk, or None in an object store."""
        return Path(self.root) if isinstance(self.filesystem, fs.LocalFileSystem) else None

    def at(self, path: str) -> Storage:
        """The folder at `path` below this one."""
        return Storage(f"{self.uri}/{path}", self._full(path), self.filesystem)

    def folders(self, path: str = "") -> list[str]:
        """The names of the folders right below `path`, sorted; none if it does not exist."""
        selector = fs.FileSelector(self._full(path), allow_not_found=True)
        with _explained(self.uri):
            found = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

    def objects(self) -> list[ObjectInfo]:
        """Every file below, at any depth, sorted by path. Names that begin with `.` or `_` are left out."""
        selector = fs.FileSelector(self.root, allow_not_found=True, recursive=True)
        with _explained(self.uri):
            found = self.filesystem.get_file_info(selector)
        objects = [self._object(info) for info in found if info.type == fs.FileType.File]
        return sorted((one for one in objects if not _is_hidden(one.path)), key=lambda one: one.path)

    def stat(self, path: str) -> ObjectInfo | None:
        """The file at `path`, or None if there is none."""
        with _explained(self.uri):
            info = self.filesystem.get_file_info(self._full(path))
        return self._object(info) if info.type == fs.FileType.File else None

    def open(self, path: str) -> pa.NativeFile:
        """A file to read, at any position. Raises FileNotFoundError."""
        with _explained(self.uri):
            return self.filesystem.open_input_file(self._full(path))

    def read(self, path: str) -> bytes:
        """The whole content of a file. Raises FileNotFoundError."""
        with self.open(path) as file, _explained(self.uri):
            content: bytes = file.read()
            return content

    def write(self, path: str, content: bytes | pa.Buffer) -> None:
        """Puts a file in its place in one step, over one that is there: a reader sees the old or the new, never a part.

        An object store gets one upload, whose size is checked; a disk gets a temporary file that is synced and renamed.
        """
        if self.local is not None:
            write_file(self.local / path, content)
            return
        with _explained(self.uri), self.filesystem.open_output_stream(self._full(path)) as stream:
            stream.write(content)
        wanted, written = memoryview(content).nbytes, self.stat(path)
        if written is None or written.size != wanted:
            raise StorageError(f"{self.uri}/{path}: {wanted} bytes were sent but the store holds {written}; run again")

    def delete(self, path: str) -> None:
        """Removes a file."""
        with _explained(self.uri):
            self.filesystem.delete_file(self._full(path))

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}".rstrip("/") if path else self.root

    def _object(self, info: fs.FileInfo) -> ObjectInfo:
        path = info.path.removeprefix(self.root).lstrip("/")
        return ObjectInfo(path, info.size, f"{info.size}-{info.mtime_ns}")


def open_storage(uri: str, endpoint_url: str | None = None) -> Storage:
    """Opens a folder: a local path, `file://`, `s3://`, `gs://`. Nothing is read yet. Raises StorageError.

    `endpoint_url` is the address of an S3-compatible store that is not Amazon's, such as `http://127.0.0.1:9000`.
    """
    scheme, bucket = urlsplit(uri).scheme, urlsplit(uri).netloc
    if "@" in bucket or ":" in bucket:  # a secret may hold a `/`, which would end the bucket before the `@`
        raise StorageError(f"a {scheme}:// address holds credentials; take them out and put them in the environment")
    if scheme in ("", "file"):
        path = Path(urlsplit(uri).path if scheme else uri).expanduser().absolute()
        return Storage(str(path), str(path), fs.LocalFileSystem())
    plain = uri.rstrip("/")
    if scheme == "s3" and endpoint_url is not None:
        return Storage(plain, plain.removeprefix("s3://"), _s3_compatible(endpoint_url))
    if scheme not in ("s3", "gs"):
        raise StorageError(f"{scheme}:// is not supported; use a local path, s3:// or gs://")
    with _explained(plain):
        # Quoted, because a key may hold what means something in a URI, such as a space or a `?`.
        store, root = fs.FileSystem.from_uri(quote(plain, safe=":/") + _ONE_PUT.get(scheme, ""))
    return Storage(plain, root, store)


_ONE_PUT = {"s3": "?allow_delayed_open=true"}
"""Small objects in one request; otherwise each is a multipart upload of three."""


def _s3_compatible(endpoint_url: str) -> fs.S3FileSystem:
    endpoint = urlsplit(endpoint_url)
    if "@" in endpoint_url:
        raise StorageError("endpoint_url holds credentials; take them out and put them in the environment")
    if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
        raise StorageError(f"endpoint_url {endpoint_url!r} is not an address such as http://127.0.0.1:9000")
    return fs.S3FileSystem(endpoint_override=endpoint.netloc, scheme=endpoint.scheme, allow_delayed_open=True)


def write_file(path: Path, content: bytes | pa.Buffer) -> None:
    """Puts a file on the local disk in one step: a temporary file beside it, synced, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_temporary(path: str) -> bool:
    """Whether this is what `write_file` leaves when it is killed halfway."""
    name = path.rsplit("/", 1)[-1]
    return name.startswith(".") and name.endswith(".tmp")


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{uri} cannot be used: {str(error).strip()}") from error
