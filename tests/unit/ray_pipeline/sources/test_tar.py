from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.errors import InputError
from ray_pipeline.sources.tar import Tar
from tests.support.sources import own_columns, read_whole, survey_of
from triton_models.storage import Storage, open_storage

PATH = "folder/shard.tar"


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return open_storage(str(tmp_path_factory.mktemp("tar")))


def shard(members: list[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT, **headers: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format, pax_headers=headers) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def read(storage: Storage, content: bytes, rows_per_chunk: int = 2) -> list[tuple[str, bytes]]:
    storage.write(PATH, content)
    if not survey_of(Tar(), storage, PATH, rows_per_chunk).pieces:
        return []
    rows = own_columns(read_whole(Tar(), storage, PATH, rows_per_chunk)).to_pylist()
    return [(row["path"].removeprefix(f"{PATH}/"), row["image"]) for row in rows]


def images(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [(name, content) for name, content in members if not name.endswith((".txt", ".json"))]


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["", "deep/er/", "long/" * 40, "lönger/" * 30]),
        st.sampled_from([".jpg", ".PNG", ".txt", ".json", ".webp"]),
        st.integers(0, 1500),
    ),
    max_size=12,
)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@given(MEMBERS, st.integers(1, 6))
def test_every_image_is_a_row_whatever_lies_between(
    storage: Storage, format: int, drawn: list[tuple[str, str, int]], rows_per_chunk: int
) -> None:
    members = [(f"{folder}{row}{end}", bytes([row]) * size) for row, (folder, end, size) in enumerate(drawn)]
    assert read(storage, shard(members, format), rows_per_chunk) == images(members)


def test_global_headers_are_no_members(storage: Storage) -> None:
    members = [("a.jpg", b"a"), ("b.jpg", b"b")]
    assert read(storage, shard(members, comment="made by another tool"), 1) == members


def test_links_and_folders_do_not_move_what_follows(storage: Storage) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, size in (
            ("folder.jpg", tarfile.DIRTYPE, 0),
            ("hard.jpg", tarfile.LNKTYPE, 5000),
            ("soft.jpg", tarfile.SYMTYPE, 0),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, size, "a.jpg"
            tar.addfile(info)
        tar.addfile(_sized("a.jpg", 700), io.BytesIO(b"a" * 700))
        tar.addfile(_sized("b.jpg", 3), io.BytesIO(b"bbb"))
    assert read(storage, file.getvalue(), 1) == [("a.jpg", b"a" * 700), ("b.jpg", b"bbb")]


def _sized(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def test_a_shard_without_images_has_no_pieces(storage: Storage) -> None:
    for members in ([], [("a.txt", b"text")]):
        storage.write(PATH, shard(members))
        assert survey_of(Tar(), storage, PATH).pieces == ()


def test_two_images_of_one_name_are_two_rows(storage: Storage) -> None:
    members = [("a.jpg", b"first"), ("a.jpg", b"second")]
    assert read(storage, shard(members), 10) == members


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"no tar" * 200,
        shard([("a.jpg", b"a" * 600), ("b.jpg", b"b")])[: 512 + 300],
        shard([("a.jpg", b"a" * 600), ("b.jpg", b"b")])[: 512 + 1024],
        shard([("a.jpg", b"a" * 600), ("b.jpg", b"b")])[: 512 + 1024 + 100],
        shard([("a.jpg", b"a" * 600), ("b.jpg", b"b")])[: 512 + 1024 + 512],
        shard([("a.jpg", b"a" * 600), ("b.jpg", b"b")])[: 512 + 1024 + 1024],
        shard([("a.jpg", b"a" * 600)])[: 512 + 1024] + b"x" * 512 + shard([("b.jpg", b"b")]),
        shard([("a.jpg", b"a")]) + shard([("b.jpg", b"b")]),
    ],
    ids=[
        "empty",
        "text",
        "cut in an image",
        "cut after an image",
        "cut in a header",
        "cut after a header",
        "no end mark",
        "broken header",
        "two in one",
    ],
)
def test_a_shard_that_is_not_whole_is_an_error_and_never_fewer_rows(storage: Storage, broken: bytes) -> None:
    storage.write(PATH, broken)
    with pytest.raises(InputError, match=r"folder/shard\.tar cannot be read as a tar shard"):
        survey_of(Tar(), storage, PATH)


def test_the_end_mark_may_be_followed_by_zeros_alone(storage: Storage) -> None:
    assert read(storage, shard([("a.jpg", b"a")]) + bytes(50_000)) == [("a.jpg", b"a")]
