"""The order people expect of names: `file2` before `file10`, case and width aside."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\d+", re.ASCII)
_WIDTH = 17


def natural_key(name: str) -> str:
    """A text whose plain order is the natural order of names: runs of digits compare by their value.

    Equal keys (`a1`, `A01`) are put in order by the name itself. `name_order` does the same for many names at once.
    """
    folded = name.casefold()
    if _DIGITS.search(folded) is None:
        return folded
    return _DIGITS.sub(_padded, folded)


def _padded(match: re.Match[str]) -> str:
    digits = match.group().lstrip("0")
    if len(digits) <= _WIDTH:
        return digits.zfill(_WIDTH + 1)
    return f"9{len(digits):08d}{digits}"  # behind every number that fits the width
