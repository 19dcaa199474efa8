from __future__ import annotations

import os

import grpc
import numpy as np
import pytest

from ray_pipeline.transport.regions import Region, Regions, Registry, size_class
from tests.support.leftovers import shared_memory_of
from triton_models.server.keeper import SHARED_MEMORY

KIB = 1024


class Server(Registry):
    """A server's list: the memory behind each name as the server sees it, opened as Triton opens it."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.in_use: set[str] = set()
        self.is_down = False

    def register(self, name: str, size: int) -> None:
        if self.is_down:
            raise grpc.RpcError
        assert (SHARED_MEMORY / name).stat().st_size == size
        self.open[name] = size

    def unregister(self, name: str) -> bool:
        if self.is_down or name in self.in_use:
            return False
        self.open.pop(name, None)
        return True


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def regions(server: Server) -> Regions:
    return Regions(server)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, 64), (64 * KIB, 64), (64 * KIB + 1, 128), (9_633_792, 16 * KIB), (16 * KIB * KIB, 16 * KIB)],
)
def test_requests_of_like_size_share_a_class(size: int, expected: int) -> None:
    assert size_class(size) == expected * KIB


def test_a_region_has_no_name_by_the_time_it_is_used(server: Server, regions: Regions) -> None:
    before = shared_memory_of(os.getpid())
    region = regions.lease(100)
    assert shared_memory_of(os.getpid()) <= before
    assert server.open == {region.name: 64 * KIB}
    region.memory[:] = 7
    assert (np.array(region.memory) == 7).all()


def test_a_region_is_used_again_after_its_answer(server: Server, regions: Regions) -> None:
    first = regions.lease(100)
    regions.give_back(first)
    assert regions.lease(60 * KIB) is first
    assert regions.lease(100) is not first
    assert len(server.open) == 2


def test_the_smallest_free_region_that_fits_is_taken(regions: Regions) -> None:
    small, large = regions.lease(1), regions.lease(200 * KIB)
    regions.give_back(large)
    regions.give_back(small)
    assert regions.lease(1) is small
    assert regions.lease(1) is large


def test_a_region_that_is_too_small_makes_room(server: Server, regions: Regions) -> None:
    regions.give_back(regions.lease(1))
    large = regions.lease(200 * KIB)
    assert server.open == {large.name: 256 * KIB}


def test_after_a_failure_a_region_is_not_used_again(server: Server, regions: Regions) -> None:
    failed = regions.lease(1)
    regions.discard(failed)
    assert regions.lease(1) is not failed
    assert failed.name not in server.open


def test_a_region_that_the_server_still_uses_is_taken_back_later(server: Server, regions: Regions) -> None:
    failed = regions.lease(1)
    server.in_use = {failed.name}
    regions.discard(failed)
    assert failed.name in server.open
    server.in_use.clear()
    regions.close()
    assert server.open == {}


def test_regions_that_the_server_forgot_are_not_used_again(server: Server, regions: Regions) -> None:
    stale = regions.lease(1)
    regions.give_back(stale)
    server.open.clear()
    regions.forget()
    assert regions.lease(1) is not stale


def test_a_server_that_is_down_leaves_no_file(server: Server, regions: Regions) -> None:
    before = shared_memory_of(os.getpid())
    server.is_down = True
    with pytest.raises(grpc.RpcError):
        regions.lease(1)
    assert shared_memory_of(os.getpid()) <= before


def test_memory_that_is_not_there_is_told_before_it_is_used(regions: Regions) -> None:
    before = shared_memory_of(os.getpid())
    with pytest.raises(OSError, match="space"):
        regions.lease(1 << 50)
    assert shared_memory_of(os.getpid()) <= before


def test_in_the_end_the_server_has_none(server: Server, regions: Regions) -> None:
    leased: list[Region] = [regions.lease(1), regions.lease(1)]
    regions.give_back(leased[0])
    regions.close()
    assert server.open == {}
