"""Limits of the speed, as they are typed."""

from __future__ import annotations

from kegbrowser.commands.command import Command
from kegbrowser.commands.outcome import UsageError
from kegbrowser.profiles import rates
from kegbrowser.transfer.pace import Direction


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
    try:
        return rates.rate_of(text)
    except ValueError as error:
        raise UsageError(str(error), hint="Write it as 500K or 2M, in bytes a second.") from error
