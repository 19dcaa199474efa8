"""How the unit tests try random examples: the same ones in every run, and nothing is kept of them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", database=None, deadline=None, derandomize=True, max_examples=40)
settings.load_profile("unit")
