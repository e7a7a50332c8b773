"""Where the plain files lie that come with the program: in a checkout, in an installed package, in a frozen program."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path


@cache
def resource_folder() -> Path:
    """The folder `resources`, whichever way the program was installed."""
    package = Path(__file__).resolve().parent
    frozen = getattr(sys, "_MEIPASS", None)
    candidates = ([Path(frozen) / "resources"] if frozen else []) + [
        package / "_resources",
        package.parent / "resources",
    ]
    return next((folder for folder in candidates if folder.is_dir()), candidates[-1])
