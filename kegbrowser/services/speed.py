"""How fast a transfer goes and how long it still takes, from its progress snapshots. No Qt."""

from __future__ import annotations

from collections.abc import Callable

from kegbrowser.transfer.events import Progress

_SMOOTHING_S = 3.0
"""Time in which an old rate loses two thirds of its weight: quick enough to follow, slow enough to read."""

_SETTLED_S = 2.0
"""No estimate of the remaining time before that: the first second says little."""


class SpeedMeter:
    """An exponentially smoothed rate of one transfer. Not thread-safe.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._last_time = 0.0
        self._last_bytes = 0
        self.rate_bytes_per_s = 0.0

    def add(self, bytes_moved: int) -> None:
        """Take note of how many bytes have moved since the start."""
        now = self._clock()
        if self._began is None:
            self._began, self._last_time, self._last_bytes = now, now, bytes_moved
            return
        elapsed = now - self._last_time
        if elapsed <= 0:
            return
        newest = (bytes_moved - self._last_bytes) / elapsed
        weight = min(1.0, elapsed / _SMOOTHING_S) if self.rate_bytes_per_s else 1.0
        self.rate_bytes_per_s += weight * (newest - self.rate_bytes_per_s)
        self._last_time, self._last_bytes = now, bytes_moved

    def remaining_s(self, progress: Progress) -> float | None:
        """Seconds until all bytes are moved at this rate; None while that cannot be told."""
        if self._began is None or self._clock() - self._began < _SETTLED_S or self.rate_bytes_per_s <= 0:
            return None
        return max(0, progress.bytes_total - progress.bytes_done) / self.rate_bytes_per_s
