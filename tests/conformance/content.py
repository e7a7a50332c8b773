"""Content to compare: long enough to be cut into parts, no two stretches alike."""

from __future__ import annotations

import hashlib
import random


def content_of(size: int, seed: int = 0) -> bytes:
    """Always the same bytes for the same size and seed."""
    return random.Random(f"{size} {seed}").randbytes(size)


def digest(content: bytes) -> str:
    """What to compare: a failed comparison of long bytes would take pytest minutes to show."""
    return f"{len(content)} bytes, {hashlib.blake2b(content, digest_size=12).hexdigest()}"
