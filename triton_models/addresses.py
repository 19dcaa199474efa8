"""Addresses of folders and of object stores: what can be opened, and that no secret is in it. Asks no store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from triton_models.errors import StorageError

_ENVIRONMENT = "take them out and put them in the environment"
_SECRETS = re.compile(r"[?&](access_key|secret_key|session_token|AWSAccessKeyId|Signature|X-Amz-[\w-]+)=", re.I)
"""As they stand in addresses for Arrow, and in those that are signed."""


def checked_uri(uri: str, endpoint_url: str | None = None) -> str:
    """The address of a folder as `Storage.uri` has it, an absolute path for one on this machine. Asks no store.

    Raises StorageError for an address that cannot be opened whatever the store says.
    """
    split = _split(uri)
    if "@" in split.netloc or ":" in split.netloc:  # a secret may hold a `/`, which would end the bucket before the `@`
        raise StorageError(f"a {split.scheme}:// address holds credentials; {_ENVIRONMENT}")
    if split.scheme in ("", "file"):
        if split.netloc not in ("", "localhost"):
            raise StorageError(f"file://{split.netloc} would be another machine; write file:///PATH, or the path alone")
        try:
            return str(Path(split.path if split.scheme else uri).expanduser().absolute())
        except RuntimeError as error:
            raise StorageError(f"{uri}: no user of this name has a home folder; write the whole path") from error
    if split.scheme not in ("s3", "gs"):
        raise StorageError(f"{split.scheme}:// is not supported; use a local path, s3:// or gs://")
    bucket, *keys = uri.partition("://")[2].split("/")
    if _SECRETS.search(uri):
        raise StorageError(f"a {split.scheme}:// address holds credentials; {_ENVIRONMENT}")
    if not bucket or ".." in (bucket, *keys):
        raise StorageError(f"{uri} names no folder of a bucket; write {split.scheme}://BUCKET/KEY, without '..' in it")
    if split.scheme == "s3" and endpoint_url is not None:
        check_endpoint(endpoint_url, "endpoint_url")
    return f"{split.scheme}://{'/'.join((bucket, *keys))}".rstrip("/")


def check_endpoint(endpoint_url: str, called: str) -> None:
    """Raises StorageError unless it is the address of a store without credentials; `called` names where it was said."""
    endpoint = _split(endpoint_url)
    if "@" in endpoint_url:
        raise StorageError(f"{called} holds credentials; {_ENVIRONMENT}")
    if endpoint.scheme not in ("http", "https") or not endpoint.netloc:
        raise StorageError(f"{called} {endpoint_url!r} is not an address such as http://127.0.0.1:9000")


def _split(address: str) -> SplitResult:
    """The parts of an address. The errors repeat nothing of it: it may hold a secret."""
    if "\0" in address:
        raise StorageError("the address of a folder or of a store holds a NUL character; correct it")
    try:
        return urlsplit(address)
    except ValueError:
        raise StorageError("the address of a folder or a store cannot be understood; are credentials in it?") from None
