"""Limits of the speed, as they are typed."""

from __future__ import annotations

import re

from kegbrowser.commands.command import Command
from kegbrowser.commands.outcome import UsageError
from kegbrowser.transfer.pace import Direction

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(i?b)?(/s)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def set_limits(command: Command) -> None:
    """Limit the jobs to come, as the words say."""
    pace = command.runner.context.pace
    for direction, text in ((Direction.UP, command.words.limit_up), (Direction.DOWN, command.words.limit_down)):
        if text:
            pace.set_limit(direction, rate_of(text))


def rate_of(text: str) -> int:
    """Bytes a second: `500K`, `1.5M`, `2MiB/s`, in powers of 1,024.

    Raises:
        UsageError: it makes no sense, or is nothing.
    """
    match = _RATE.fullmatch(text.strip())
    rate = int(float(match[1]) * _UNITS[match[2].lower()]) if match is not None else 0
    if rate < 1:
        raise UsageError(f"“{text}” is no speed.", hint="Write it as 500K or 2M, in bytes a second.")
    return rate
