"""What the user's umask allows."""

from __future__ import annotations

import os
from functools import cache


def allowed(permissions: int | None) -> int | None:
    """The mode bits that a new local file gets of those of its source; None if none are to be kept, or this system has none.

    Never more than new files get by the umask.
    """
    if permissions is None or os.name != "posix":
        return None
    return permissions & 0o777 & ~_umask()


@cache
def _umask() -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)  # the one way to ask; files that are made meanwhile are private
    os.umask(mask)
    return mask
