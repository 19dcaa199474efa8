"""Which objects an input URI names, and of which format they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Format
from ray_pipeline.sources.csv import Csv
from ray_pipeline.sources.images import Images
from ray_pipeline.sources.json_lines import JsonLines
from ray_pipeline.sources.numpy import Numpy
from ray_pipeline.sources.parquet import Parquet
from ray_pipeline.sources.tar import Tar
from triton_models.addresses import checked_uri
from triton_models.healing import TIMEOUT_S
from triton_models.inside import is_inside
from triton_models.storage import ObjectInfo, Storage, open_storage

FORMATS: tuple[Format, ...] = (Parquet(), JsonLines(), Csv(), Images(), Tar(), Numpy())


def format_of(path: str) -> Format:
    """The format of an object by the end of its name, in small or capital letters. Raises InputError."""
    for one in FORMATS:
        if path.lower().endswith(one.suffixes):
            return one
    known = " ".join(suffix for one in FORMATS for suffix in one.suffixes)
    raise InputError(f"{path}: not a known input format; known are {known}. A glob such as *.parquet leaves others out")


def list_input(uri: str, endpoint_url: str | None, timeout_s: float = TIMEOUT_S) -> tuple[Storage, list[ObjectInfo]]:
    """The folder and the objects in it that a file, folder or glob names, sorted by path.

    `*` and `?` stay inside one folder, `**` crosses folders. Names that begin with `.` or `_` are left out.
    Raises InputError if there are none.
    """
    whole = open_storage(uri, endpoint_url, timeout_s)
    if whole.stat("") is not None:
        folder, _, name = uri.rstrip("/").rpartition("/")
        storage = open_storage(folder or ("/" if uri.startswith("/") else "."), endpoint_url, timeout_s)
        found = storage.stat(name)
        return storage, [found] if found else []
    folder, pattern = _split_glob(uri)
    storage = open_storage(folder, endpoint_url, timeout_s)
    objects = storage.objects()
    if pattern is not None:
        parts = pattern.split("/")
        objects = [one for one in objects if _matches(one.path.split("/"), parts)]
    if not objects:
        raise InputError(f"input.uri {uri}: there is no object to score; is the path right?")
    return storage, objects


def stranger(uri: str, folder: str, paths: Iterable[str]) -> str | None:
    """The first of these objects of a folder that an input URI does not name; None if it names them all."""
    above, pattern = _split_glob(uri)
    above, whole, parts = checked_uri(above), checked_uri(uri), pattern.split("/") if pattern is not None else None

    def is_named(path: str) -> bool:
        if f"{folder.rstrip('/')}/{path}" == whole:
            return is_inside(path)
        return is_inside(path) and folder == above and (parts is None or _matches(path.split("/"), parts))

    return next((path for path in paths if not is_named(path)), None)


def _split_glob(uri: str) -> tuple[str, str | None]:
    parts = uri.split("/")
    for position, part in enumerate(parts):
        if any(letter in part for letter in "*?["):
            return "/".join(parts[:position]) or ("/" if uri.startswith("/") else "."), "/".join(parts[position:])
    return uri, None


def _matches(path: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skip:], pattern[1:]) for skip in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def only_format(objects: Sequence[ObjectInfo]) -> Format:
    """The one format that all objects have. Raises InputError if they have several."""
    formats = {format_of(one.path).suffixes: one for one in objects}
    if len(formats) > 1:
        shown = ", ".join(f"{PurePosixPath(one.path).name}" for one in formats.values())
        raise InputError(f"the input mixes formats ({shown}); choose one with a glob such as *.parquet")
    return format_of(objects[0].path)
