from __future__ import annotations

import pyarrow as pa

from ray_pipeline.chunk import ERROR, REASON, STAGE, chunk_of
from ray_pipeline.prepare.rows import prepare, prepared_column
from tests.support.chunks import chunk_of_rows, read_table
from tests.support.job_models import image_model, pair_model, tensor_model, text_model

WORDS, NUMBERS = text_model(), tensor_model()
TABLE = read_table(
    {"id": [1, 2, 3, 4], "body": ["one", None, "two", "two"], "x": [1.0, 2.0, None, 4.0]},
    reasons=[None, None, None, "not JSON"],
)


def test_every_model_gets_its_column_and_a_bad_row_its_reason() -> None:
    table = prepare(TABLE, [WORDS, NUMBERS], ["id"])
    assert table[prepared_column(WORDS, "ids")].to_pylist() == [[2, 4, 3], None, [2, 5, 3], None]
    assert table[prepared_column(NUMBERS, "x")].to_pylist() == [[1.0], None, None, None]
    assert table[STAGE].to_pylist() == [None, "prepare", "prepare", "read"]
    assert table[ERROR].to_pylist() == [None, "NullValue", "NullValue", "NotJson"]
    assert table[REASON].to_pylist() == [
        None,
        "column 'body': null is not text",
        "column 'x': null is not x FP32[]",
        "not JSON",
    ]


def test_only_the_kept_columns_go_on_and_the_chunk_stays_whole() -> None:
    table = prepare(TABLE, [WORDS], ["id"])
    assert [name for name in table.column_names if not name.startswith("__")] == ["id"]
    assert table["id"].equals(TABLE["id"])
    assert chunk_of(table) == chunk_of_rows(4)
    assert isinstance(table, pa.Table)


def test_pairs_and_pictures_travel_in_columns_of_their_own() -> None:
    pairs, pictures = pair_model(), image_model()
    rows = read_table({"query": ["one"], "passage": ["two"], "picture": [b"no picture"]})
    table = prepare(rows, [pairs, pictures], [])
    prepared = [prepared_column(pairs, "ids"), prepared_column(pairs, "types"), prepared_column(pictures, "image")]
    assert table.column_names[-3:] == prepared
    assert table[prepared[0]].to_pylist() == [[2, 4, 3, 5, 3]]
    assert table[ERROR].to_pylist() == ["CorruptImage"]
    assert table[REASON].to_pylist() == ["column 'picture': 10 bytes that are no image; read are JPEG, PNG, WEBP"]
