"""Speeds, as people type them."""

from __future__ import annotations

import re

_RATE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([kmg]?)(i?b)?(/s)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def rate_of(text: str) -> int:
    """Bytes a second: `500K`, `1.5M`, `2 MiB/s`, in powers of 1,024.

    Raises:
        ValueError: it makes no sense, or is nothing.
    """
    match = _RATE.fullmatch(text.strip())
    rate = int(float(match[1].replace(",", ".")) * _UNITS[match[2].lower()]) if match is not None else 0
    if rate < 1:
        raise ValueError(f"“{text}” is no speed.")
    return rate
