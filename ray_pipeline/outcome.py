"""How a request ended."""

from __future__ import annotations

from typing import Literal

Outcome = Literal["success", "dropped", "ignored"]
"""As in TCP-like limiters: its latency counts; the server had no room or was gone; or it was the caller's mistake,
which says nothing about load."""
