"""Which machine an address names."""

from __future__ import annotations

import pytest

from triton_models.server.address import is_here

ELSEWHERE = "192.0.2.1"  # an address that nobody has (RFC 5737)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.77"])
def test_this_machine_is_here(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize("host", [ELSEWHERE, "", "no such host"])
def test_others_are_not(host: str) -> None:
    assert not is_here(host)
