"""How fast a job may go: limits of the speed up and down that change while it runs, and the pause."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable

from kegbrowser.transfer.cancel import CancelToken

BURST_S = 0.25
"""What was not used up to now may be used at once, up to this much of a second's limit."""

LOOK_S = 0.25
"""A wait looks this often whether the limit or the pause was changed, and whether the job was stopped."""


class Direction(enum.Enum):
    """Which way bytes go."""

    UP = "up"
    DOWN = "down"


class Pace:
    """The limits of one running job. Any thread.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._limits: dict[Direction, int | None] = dict.fromkeys(Direction)
        self._free_at: dict[Direction, float] = dict.fromkeys(Direction, 0.0)
        self._is_paused = False

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    def set_limit(self, direction: Direction, bytes_per_s: int | None) -> None:
        """Limit the speed from now on; None lifts the limit."""
        with self._lock:
            self._limits[direction] = bytes_per_s
            self._free_at[direction] = self._clock()
            self._changed.notify_all()

    def set_paused(self, *, paused: bool) -> None:
        """Hold everything where it is, or let it go on."""
        with self._lock:
            self._is_paused = paused
            self._changed.notify_all()

    def is_open(self, direction: Direction) -> bool:
        """Whether something may be moved right now; does not wait."""
        with self._lock:
            if self._is_paused:
                return False
            return self._limits[direction] is None or self._free_at[direction] <= self._clock()

    def take(self, direction: Direction, count: int, stop: CancelToken) -> None:
        """Wait until `count` bytes may be moved.

        Raises:
            Cancelled: stopped meanwhile.
        """
        if not self._is_paused and self._limits[direction] is None:
            return
        with self._lock:
            while True:
                stop.check()
                wait_s = LOOK_S
                if not self._is_paused:
                    limit = self._limits[direction]
                    if limit is None:
                        return
                    now = self._clock()
                    free_at = max(self._free_at[direction], now - BURST_S)
                    if free_at <= now:
                        self._free_at[direction] = free_at + count / max(limit, 1)
                        return
                    wait_s = min(LOOK_S, free_at - now)
                self._changed.wait(wait_s)
