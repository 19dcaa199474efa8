from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.chunk import Piece
from ray_pipeline.sources.positions import Positions
from triton_models.storage import ObjectInfo

FOUND = ObjectInfo("a.jsonl", 1000, "stamp")


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans())), st.integers(1, 7), st.integers(0, 5))
def test_pieces_join_without_a_gap_and_hold_every_row(
    stretches: list[tuple[int, bool]], rows_per_chunk: int, begin: int
) -> None:
    positions = Positions(FOUND, rows_per_chunk, begin)
    for size, is_row in stretches:
        positions.add(size, is_row=is_row)
    pieces = positions.pieces()
    ends = [begin, *(piece.end_byte for piece in pieces)]
    assert [piece.first_byte for piece in pieces] == ends[:-1]
    assert sum(piece.rows for piece in pieces) == sum(is_row for _, is_row in stretches)
    assert [piece.first_row for piece in pieces] == [number * rows_per_chunk for number in range(len(pieces))]
    assert all(piece.rows == rows_per_chunk for piece in pieces[:-1])
    at = begin
    for size, is_row in stretches:
        at += size
        assert not is_row or any(piece.first_byte < at <= piece.end_byte for piece in pieces)


def test_what_is_no_row_goes_to_the_piece_that_follows() -> None:
    positions = Positions(FOUND, 1)
    for size, is_row in ((3, True), (2, False), (4, True), (1, False)):
        positions.add(size, is_row=is_row)
    assert positions.pieces() == (Piece("a.jsonl", "stamp", 1, 0, 0, 3), Piece("a.jsonl", "stamp", 1, 1, 3, 9))


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans())), st.integers(1, 7), st.integers(1, 20))
def test_pieces_of_several_rows_are_not_too_large_either(
    stretches: list[tuple[int, bool]], rows_per_chunk: int, bytes_per_piece: int
) -> None:
    positions = Positions(FOUND, rows_per_chunk, bytes_per_piece=bytes_per_piece)
    for size, is_row in stretches:
        positions.add(size, is_row=is_row)
    pieces = positions.pieces()
    assert [piece.first_byte for piece in pieces[1:]] == [piece.end_byte for piece in pieces[:-1]]
    assert sum(piece.rows for piece in pieces) == sum(is_row for _, is_row in stretches)
    firsts = [sum(piece.rows for piece in pieces[:number]) for number in range(len(pieces))]
    assert [piece.first_row for piece in pieces] == firsts
    for piece in pieces[:-1]:
        assert 1 <= piece.rows <= rows_per_chunk
        assert piece.rows == 1 or piece.end_byte - piece.first_byte <= bytes_per_piece


def test_a_piece_ends_before_the_row_that_would_make_it_too_large() -> None:
    positions = Positions(FOUND, 100, bytes_per_piece=10)
    for size in (4, 5, 3, 30, 1):
        positions.add(size, is_row=True)
    assert [(piece.rows, piece.first_byte, piece.end_byte) for piece in positions.pieces()] == [
        (2, 0, 9),
        (1, 9, 12),
        (1, 12, 42),
        (1, 42, 43),
    ]
