"""What tests of the limiter's decisions begin with."""

from __future__ import annotations

import pytest

from tests.support.allotted import Node


@pytest.fixture
def node() -> Node:
    return Node()
