"""What Arrow cannot do in an object store: create a file only where there is none, stream, delete without a trace."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from configparser import ConfigParser, Error
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pyarrow import fs

from triton_models.errors import StorageError
from triton_models.healing import shortened

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig, S3Config

PIECE_BYTES = 16 * 2**20
"""What an upload holds in memory, four times; an object can have ten thousand such pieces."""

RETRIES = 5

_NAMED_IN_THE_ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def open_store(filesystem: fs.FileSystem, root: str, endpoint_url: str | None, retries: int) -> ObjectStore:
    """The folder `root` (`bucket/key`) with the address and the credentials that `filesystem` uses.

    Opened anew each time: credentials that are exchanged while a long job runs are taken as they are now. A request is
    repeated up to `retries` times by obstore if that does no harm; a conditional one is not after a broken connection.
    """
    from obstore.store import GCSStore, S3Store

    bucket, _, prefix = root.partition("/")
    retry: RetryConfig = {"max_retries": retries}
    if isinstance(filesystem, fs.GcsFileSystem):
        return GCSStore(bucket, prefix=prefix or None, retry_config=retry)
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=s3_settings(os.environ, endpoint_url),
        region=filesystem.region,
        client_options={"allow_http": True},  # the address says whether it is to be TLS
        retry_config=retry,
    )


def put_new(store: ObjectStore, key: str, content: bytes, uri: str) -> bool:
    """Puts an object where there is none; False if there is one. Raises StorageError.

    When it is done again after an answer that was lost, the object that is there may be its own.
    """
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    with _explained(f"{uri}: {key} cannot be created by a conditional write (If-None-Match)"):
        try:
            obstore.put(store, key, content, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        return True


def put_pieces(store: ObjectStore, key: str, content: Path | Iterable[bytes], uri: str) -> None:
    """Puts an object from a file or from pieces, which is never held in memory as a whole. Raises StorageError."""
    import obstore

    with _explained(f"{uri}: {key} cannot be written"):
        obstore.put(store, key, content, chunk_size=PIECE_BYTES, max_concurrency=4)


def delete(store: ObjectStore, keys: Iterable[str], uri: str) -> None:
    """Deletes objects, also such as are not there. Raises StorageError.

    Arrow would leave an empty object in the place of their folder.
    """
    import obstore

    for key in keys:
        with _explained(f"{uri}: {key!r} cannot be deleted"), suppress(FileNotFoundError):
            obstore.delete(store, key)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError, TypeError) as error:  # TypeError: obstore takes no key with such letters
        raise StorageError(f"{what}: {shortened(error)}") from error


def endpoint(environment: Mapping[str, str]) -> str | None:
    """The address of a store that is not Amazon's, as Amazon's own tools find it; None for Amazon's."""
    return environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or None


def s3_settings(environment: Mapping[str, str], endpoint_url: str | None) -> S3Config:
    """Address and credentials, looked for where Arrow's file system looks for them."""
    address = endpoint_url or endpoint(environment)
    # Under the name that goes before AWS_ENDPOINT_URL_S3 of the environment.
    settings: S3Config = {"aws_endpoint_url_s3": address} if address else {}
    if any(name in environment for name in _NAMED_IN_THE_ENVIRONMENT):
        return settings
    if keys := _profile_keys(environment):
        return settings | keys
    is_amazon = address is None or (urlsplit(address).hostname or "").endswith(".amazonaws.com")
    if not is_amazon or environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        settings["skip_signature"] = True  # the role of an Amazon instance does not open it, and there is no other key
    return settings


def _profile_keys(environment: Mapping[str, str]) -> S3Config:
    """The keys that the credentials file of Amazon's tools holds for the profile in use; none without one."""
    path = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    file = ConfigParser(interpolation=None)
    try:
        file.read(path, encoding="utf-8")
    except (OSError, Error, UnicodeDecodeError) as error:
        # The parser's own text repeats the line, and with it the secret.
        raise StorageError(f"{path} cannot be read as a file of credentials: {type(error).__name__}") from None
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    if not file.has_option(profile, "aws_access_key_id"):
        return {}
    keys: S3Config = {
        "access_key_id": file.get(profile, "aws_access_key_id"),
        "secret_access_key": file.get(profile, "aws_secret_access_key", fallback=""),
    }
    if file.has_option(profile, "aws_session_token"):
        keys["session_token"] = file.get(profile, "aws_session_token")
    return keys
