"""What every input format must do with the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.chunk import ERROR, REASON, ROW, STAGE, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.images import IMAGE_SUFFIXES
from ray_pipeline.sources.listing import FORMATS, format_of
from ray_pipeline.sources.opened import COMPRESSIONS
from tests.support.sources import object_at, own_columns, read_pieces, read_whole, survey_of
from triton_models.storage import Storage, open_storage

Row = dict[str, Any]
ROWS: list[Row] = [
    {"id": row, "text": f"text {row}" if row % 5 else None, "x": [row / 2, 1.0], "note": {"lang": "de"}}
    for row in range(23)
]


def _parquet(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.Table.from_pylist(ROWS).schema), file, row_group_size=7)
    return file.getvalue()


def _json_lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _separated(delimiter: str) -> Callable[[list[Row]], bytes]:
    def content(rows: list[Row]) -> bytes:
        file = io.StringIO()
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["id", "text", "x"], *([row["id"], row["text"], row["x"][0]] for row in rows)])
        return file.getvalue().encode()

    return content


def _npy(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    np.save(file, _array("id", rows))
    return file.getvalue()


def _npz(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    np.savez(file, x=_array("x", rows), id=_array("id", rows))
    return file.getvalue()


def _array(name: str, rows: list[Row]) -> np.ndarray[Any, Any]:
    example = np.array([row[name] for row in ROWS])
    return np.array([row[name] for row in rows], example.dtype).reshape(len(rows), *example.shape[1:])


def _tar(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as shard:
        for row in rows:
            image = b"image" * row["id"]
            info = tarfile.TarInfo(f"{row['id']:04}.jpg")
            info.size = len(image)
            shard.addfile(info, io.BytesIO(image))
    return file.getvalue()


def _compressed(path: str, content: bytes) -> bytes:
    if path.endswith(".gz"):
        return gzip.compress(content)
    return pa.compress(content, "zstd", asbytes=True) if path.endswith(".zst") else content


def _of_csv(row: Row) -> Row:
    return {"id": row["id"], "text": row["text"] or "", "x": row["x"][0]}


def _of_npz(row: Row) -> Row:
    return {"x": row["x"], "id": row["id"]}


def _of_tar(row: Row) -> Row:
    return {"path": f"object.tar/{row['id']:04}.jpg", "image": b"image" * row["id"]}


@dataclass(frozen=True)
class Kind:
    """A format: how it is written, what it holds of a row, and a column of it in a wider type."""

    content: Callable[[list[Row]], bytes]
    held: Callable[[Row], Row]
    wider: pa.Field

    def rows(self, rows: Iterable[Row] = ROWS) -> list[Row]:
        """What is read of these rows."""
        return [self.held(row) for row in rows]


ID_AS_FLOAT = pa.field("id", pa.float64())
KINDS: dict[str, Kind] = {
    ".parquet": Kind(_parquet, dict, ID_AS_FLOAT),
    ".jsonl": Kind(_json_lines, dict, ID_AS_FLOAT),
    ".csv": Kind(_separated(","), _of_csv, ID_AS_FLOAT),
    ".tsv": Kind(_separated("\t"), _of_csv, ID_AS_FLOAT),
    ".npy": Kind(_npy, lambda row: {"array": row["id"]}, pa.field("array", pa.float64())),
    ".npz": Kind(_npz, _of_npz, ID_AS_FLOAT),
    ".tar": Kind(_tar, _of_tar, pa.field("image", pa.large_binary())),
}
SUFFIXES = [suffix for one in FORMATS for suffix in one.suffixes if suffix not in IMAGE_SUFFIXES]


def kind_of(path: str) -> Kind:
    return KINDS[next(suffix for suffix in Path(path).suffixes if suffix in KINDS)]


def write(storage: Storage, path: str, rows: list[Row]) -> None:
    storage.write(path, _compressed(path, kind_of(path).content(rows)))


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest) -> str:
    return f"object{request.param}"


@pytest.fixture
def kind(path: str) -> Kind:
    return kind_of(path)


@pytest.fixture
def storage(tmp_path: Path, path: str) -> Storage:
    storage = open_storage(str(tmp_path))
    write(storage, path, ROWS)
    return storage


@pytest.mark.parametrize("rows_per_chunk", [1, 4, 7, 23, 1000])
def test_the_pieces_together_are_the_object(storage: Storage, path: str, kind: Kind, rows_per_chunk: int) -> None:
    table = read_whole(format_of(path), storage, path, rows_per_chunk)
    assert own_columns(table).to_pylist() == kind.rows()
    assert table[ROW].to_pylist() == [row % rows_per_chunk for row in range(len(ROWS))]


def test_a_name_in_capital_letters_is_read_the_same_way(storage: Storage, path: str, kind: Kind) -> None:
    loud = path.upper()
    storage.copy(path, loud)
    found = own_columns(read_whole(format_of(loud), storage, loud, 7)).to_pylist()
    assert [{name: str(value).replace(loud, path) for name, value in row.items()} for row in found] == [
        {name: str(value) for name, value in row.items()} for row in kind.rows()
    ]


def test_pieces_are_full_but_for_the_last_and_carry_the_stamp(storage: Storage, path: str) -> None:
    pieces = survey_of(format_of(path), storage, path, 10).pieces
    assert [(piece.first_row, piece.rows) for piece in pieces] == [(0, 10), (10, 10), (20, 3)]
    assert {(piece.path, piece.stamp) for piece in pieces} == {(path, object_at(storage, path).stamp)}


def test_the_same_object_is_surveyed_the_same_way(storage: Storage, path: str) -> None:
    assert survey_of(format_of(path), storage, path, 4) == survey_of(format_of(path), storage, path, 4)


def test_only_the_columns_of_the_schema_are_read_in_its_order_and_types(
    storage: Storage, path: str, kind: Kind
) -> None:
    survey = survey_of(format_of(path), storage, path, 4)
    wanted = pa.schema(list(survey.schema)[1::-1])
    table = format_of(path).read(storage, survey.pieces[1], wanted).table
    assert table.schema.equals(wanted)
    assert table.to_pylist() == [{name: row[name] for name in wanted.names} for row in kind.rows(ROWS[4:8])]


def test_a_schema_with_wider_types_is_followed(storage: Storage, path: str, kind: Kind) -> None:
    (piece,) = survey_of(format_of(path), storage, path).pieces
    table = format_of(path).read(storage, piece, pa.schema([kind.wider])).table
    assert table.schema.equals(pa.schema([kind.wider]))
    assert table[kind.wider.name].to_pylist() == [row[kind.wider.name] for row in kind.rows()]


def test_good_rows_have_no_rejection(storage: Storage, path: str) -> None:
    survey = survey_of(format_of(path), storage, path)
    assert format_of(path).read(storage, survey.pieces[0], survey.schema).rejections == [None] * len(ROWS)
    table = read_whole(format_of(path), storage, path)
    assert table[STAGE].null_count == table[ERROR].null_count == table[REASON].null_count == len(ROWS)


@pytest.mark.parametrize("rows_of_others", [1, 23])
def test_a_chunk_of_several_objects_holds_their_rows_in_order(
    storage: Storage, path: str, kind: Kind, rows_of_others: int
) -> None:
    paths = [path, f"second{path}", f"third{path}"]
    for other in paths[1:]:
        write(storage, other, ROWS[:rows_of_others])
    surveys = [survey_of(format_of(path), storage, one) for one in paths]
    pieces = tuple(piece for survey in surveys for piece in survey.pieces)
    table = read_pieces(storage, pieces, surveys[0].schema)
    wanted = [*kind.rows(), *kind.rows(ROWS[:rows_of_others]), *kind.rows(ROWS[:rows_of_others])]
    for row in wanted[len(ROWS) :]:
        row.pop("path", None)
    found = own_columns(table).to_pylist()
    assert [{name: row[name] for name in want} for row, want in zip(found, wanted, strict=True)] == wanted
    assert table[ROW].to_pylist() == list(range(len(wanted)))


def test_an_object_without_rows_has_no_pieces(storage: Storage, path: str) -> None:
    write(storage, path, [])
    assert survey_of(format_of(path), storage, path).pieces == ()


def test_an_object_that_changed_after_planning_is_an_error(storage: Storage, path: str) -> None:
    survey = survey_of(format_of(path), storage, path)
    write(storage, path, ROWS[:20])
    with pytest.raises(InputError, match=rf"{path} has changed since the job was planned"):
        read_pieces(storage, survey.pieces, survey.schema)


def test_an_object_that_lost_rows_is_an_error_even_if_its_stamp_says_nothing(storage: Storage, path: str) -> None:
    survey = survey_of(format_of(path), storage, path)
    write(storage, path, ROWS[:20])
    stamped = tuple(replace(piece, stamp=object_at(storage, path).stamp) for piece in survey.pieces)
    with pytest.raises(InputError, match=rf"{path}.*(changed after planning|cannot be read)"):
        read_pieces(storage, stamped, survey.schema)


def test_an_object_that_is_gone_after_planning_is_an_error(storage: Storage, path: str) -> None:
    survey = survey_of(format_of(path), storage, path)
    storage.delete(path)
    with pytest.raises(InputError, match=rf"{path} is gone since the job was planned"):
        read_pieces(storage, survey.pieces, survey.schema)
    with pytest.raises(InputError, match=path):
        format_of(path).read(storage, survey.pieces[0], survey.schema)


@pytest.mark.parametrize("path", [f"object{suffix}" for suffix in SUFFIXES if Path(suffix).suffix in COMPRESSIONS])
def test_a_compressed_object_that_is_cut_anywhere_is_an_error(storage: Storage, path: str) -> None:
    whole = storage.read(path)
    survey = survey_of(format_of(path), storage, path)
    for size in range(1, len(whole)):
        storage.write(path, whole[:size])
        with pytest.raises(InputError, match=rf"{path} cannot be read"):
            survey_of(format_of(path), storage, path)
        piece = replace(survey.pieces[0], stamp=object_at(storage, path).stamp)
        with pytest.raises(InputError, match=path):
            read_pieces(storage, (piece,), survey.schema)


@pytest.mark.parametrize("path", ["object.tar", "object.parquet", "object.npz"])
def test_a_container_that_is_cut_anywhere_is_an_error(storage: Storage, path: str) -> None:
    whole = storage.read(path)
    for size in range(0, len(whole) - 10_240, 97):
        storage.write(path, whole[:size])
        with pytest.raises(InputError, match=path):
            survey_of(format_of(path), storage, path)


@pytest.mark.parametrize("path", ["object.jsonl.gz", "object.csv.zst"])
def test_compressed_streams_that_were_put_together_are_read_to_the_end(storage: Storage, path: str, kind: Kind) -> None:
    content = kind.content(ROWS)
    storage.write(path, b"".join(_compressed(path, part) for part in (content[:99], content[99:], b"")))
    assert own_columns(read_whole(format_of(path), storage, path, 5)).to_pylist() == kind.rows()


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_each_object_of_a_folder_of_images_is_a_row(tmp_path: Path, suffix: str) -> None:
    storage = open_storage(str(tmp_path))
    rows: list[Row] = [{"path": f"folder/{number}{suffix}", "image": b"\xff" * number} for number in range(20)]
    for row in rows:
        storage.write(row["path"], row["image"])
    surveys = [survey_of(format_of(row["path"]), storage, row["path"]) for row in rows]
    pieces = tuple(piece for survey in surveys for piece in survey.pieces)
    assert pieces == tuple(Piece(row["path"], object_at(storage, row["path"]).stamp, 1) for row in rows)
    assert own_columns(read_pieces(storage, pieces, surveys[0].schema)).to_pylist() == rows
    assert read_pieces(storage, pieces[:1], pa.schema([("image", pa.binary())]))["image"].to_pylist() == [b""]
    storage.delete(rows[7]["path"])
    with pytest.raises(InputError, match=rf"folder/7{suffix} is gone since the job was planned"):
        read_pieces(storage, pieces, surveys[0].schema)
