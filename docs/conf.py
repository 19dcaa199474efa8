"""How the pages are built: `make docs`. The pages of options are made anew from the code each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docs.reference import write

project = "Rayton"
author = "the founders of Rayton"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Rayton"
html_show_copyright = False
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # parts of the README begin at a lower heading


def setup(app: Any) -> None:
    """Makes the pages that the code tells before any is read."""
    write(Path(app.srcdir) / "generated")
