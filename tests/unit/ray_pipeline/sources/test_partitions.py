from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from ray_pipeline.sources.json_lines import JsonLines
from ray_pipeline.sources.partitions import key_schema, keys_of, with_keys
from tests.support.sources import object_at, own_columns, read_pieces, survey_of
from triton_models.storage import open_storage


def test_folders_with_an_equals_sign_are_keys() -> None:
    assert keys_of("day=2026-11-01/lang=de/a.parquet") == {"day": "2026-11-01", "lang": "de"}
    assert keys_of("plain/a=b.parquet") == {}
    assert keys_of("=x/a=/b=c=d/f") == {"a": "", "b": "c=d"}
    assert keys_of("na%20me=50%25%2F2/f") == {"na me": "50%/2"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", "0"], pa.int64()),
        (["1", "007"], pa.string()),
        (["1", "a"], pa.string()),
        (["9223372036854775807"], pa.int64()),
        (["9223372036854775808"], pa.string()),
        (["\u0661", "²"], pa.string()),
        (["", "1"], pa.string()),
        (["-", "--1"], pa.string()),
        (["2026-11-01"], pa.string()),
    ],
)
def test_a_key_is_a_number_where_every_value_is_one(values: list[str], kind: pa.DataType) -> None:
    assert key_schema(f"k={value}/a" for value in values) == pa.schema([("k", kind)])


def test_keys_of_some_paths_have_a_type_too() -> None:
    assert key_schema(["a=x/b=2/f", "b=3/f", "f"]) == pa.schema([("a", pa.string()), ("b", pa.int64())])
    assert key_schema([]) == pa.schema([])


def test_keys_become_columns_in_the_order_and_types_of_the_schema() -> None:
    schema = pa.schema([("k", pa.int64()), ("x", pa.int64()), ("lang", pa.string())])
    table = with_keys(pa.table({"x": [1, 2]}), {"k": "7", "lang": "de"}, schema, 2)
    assert table.schema == schema
    assert table.to_pylist() == [{"k": 7, "x": 1, "lang": "de"}, {"k": 7, "x": 2, "lang": "de"}]


def test_where_the_file_has_the_column_too_the_folder_is_right(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write("k=7/a.jsonl", json.dumps({"k": "other", "x": 1}).encode())
    storage.write("k=8/a.jsonl", json.dumps({"x": 2}).encode())
    pieces = [survey_of(JsonLines(), storage, path).pieces[0] for path in ("k=7/a.jsonl", "k=8/a.jsonl")]
    assert pieces[0].stamp == object_at(storage, "k=7/a.jsonl").stamp
    table = read_pieces(storage, tuple(pieces), pa.schema([("x", pa.int64()), ("k", pa.int64())]))
    assert own_columns(table).to_pylist() == [{"x": 1, "k": 7}, {"x": 2, "k": 8}]
