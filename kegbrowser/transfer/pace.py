"""How fast a job may go: limits of the speed up and down that change while it runs, and the pause."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable

from kegbrowser.transfer.cancel import CancelToken

BURST_S = 0.25
"""What was not used up to now may be used at once, up to this much of a second's limit."""

SMALLEST_PIECE_BYTES = 16 * 1024

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

    def piece_bytes(self, direction: Direction, most: int) -> int:
        """How much to move in one go: less under a limit, so that it goes on evenly."""
        limit = self._limits[direction]
        return most if limit is None else min(most, max(SMALLEST_PIECE_BYTES, limit // 8))

    def try_take(self, direction: Direction, count: int) -> bool:
        """Take leave to move `count` bytes right now, or say that it must wait; does not wait itself."""
        if not self._is_paused and self._limits[direction] is None:
            return True
        with self._lock:
            return not self._is_paused and self._wait_s(direction, count) <= 0

    def take(self, direction: Direction, count: int, stop: CancelToken) -> None:
        """Wait until `count` bytes may be moved.

        Raises:
            Cancelled: stopped meanwhile.
        """
        if self.try_take(direction, count):
            return
        with self._lock:
            while True:
                stop.check()
                wait_s = LOOK_S if self._is_paused else self._wait_s(direction, count)
                if wait_s <= 0:
                    return
                self._changed.wait(min(LOOK_S, wait_s))

    def _wait_s(self, direction: Direction, count: int) -> float:
        """How long until something may be moved; if now, it is counted."""
        limit = self._limits[direction]
        if limit is None:
            return 0.0
        now = self._clock()
        free_at = max(self._free_at[direction], now - BURST_S)
        if free_at > now:
            return free_at - now
        self._free_at[direction] = free_at + count / max(limit, 1)
        return 0.0
