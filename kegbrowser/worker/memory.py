"""Keeps a helper small between its jobs: what it does not use any more goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

ARENAS = 4
"""Of the C library's allocator, which else makes eight for each processor and keeps what was freed in every one."""

_M_ARENA_MAX = -8


def limit_arenas() -> None:
    """Called at the start of a helper, before its threads begin."""
    library = _library()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Called after each job; some milliseconds."""
    gc.collect()
    library = _library()
    if library is not None:
        library.malloc_trim(0)


def _library() -> Any:
    """The GNU C library; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
