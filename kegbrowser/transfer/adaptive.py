"""How much at once: grows while that makes it faster, shrinks when the server complains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kegbrowser.transfer.cancel import CancelToken

WINDOW_S = 0.4
"""Throughput is measured over this time at least."""

FIRST_WINDOW_S = 0.1
"""The same at the beginning, where the number doubles until that does not pay: a long way needs many at once, and soon."""

GAIN = 1.1
"""A larger number at once must be faster by this, or it is taken back."""

GROWTH = 1.5
HOLD_WINDOWS = 8
"""So many windows pass after a step that was taken back, until the next one is tried."""

SHRINK_PAUSE_S = 1.0
LOOK_S = 0.1


class Concurrency:
    """The number of things to do at once. Any thread.

    It begins small and grows by half while the throughput grows with it; a step that does not pay is taken back, and tried
    again later. An error or a server's wish to slow down halves it, once a second at most.

    Args:
        first, most: where it begins, and where it ends.
        clock: seconds, monotonic.
    """

    def __init__(self, first: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = max(1, most)
        self._limit = max(1, min(first, most))
        self._lock = threading.Lock()
        self._since = clock()
        self._done_bytes = 0
        self._done = 0
        self._last_rate = 0.0
        self._before_step: int | None = None
        self._hold = 0
        self._shrunk_at = float("-inf")
        self._is_starting = True

    @property
    def limit(self) -> int:
        return self._limit

    def add(self, count: int, size_bytes: int) -> None:
        """So many things were done, of so many bytes in all."""
        with self._lock:
            self._done += count
            self._done_bytes += size_bytes
            elapsed = self._clock() - self._since
            window = FIRST_WINDOW_S if self._is_starting else WINDOW_S
            if elapsed >= window and self._done >= self._limit:
                # A thing costs something even if it is empty: as much as 16 KiB do.
                self._step((self._done_bytes + self._done * 16_384) / elapsed)

    def shrink(self) -> None:
        """Something failed in a way that fewer at once may cure."""
        with self._lock:
            now = self._clock()
            if now - self._shrunk_at >= SHRINK_PAUSE_S:
                self._shrunk_at = now
                self._limit = max(1, self._limit // 2)
                self._before_step, self._hold, self._is_starting = None, HOLD_WINDOWS, False
                self._begin_window()

    def _step(self, rate: float) -> None:
        if self._before_step is not None and rate < self._last_rate * GAIN:
            self._limit, self._before_step, self._hold = self._before_step, None, HOLD_WINDOWS
            self._is_starting = False
        elif self._hold > 0:
            self._hold -= 1
            self._last_rate = rate
        elif self._limit < self._most:
            self._before_step, self._last_rate = self._limit, rate
            growth = 2.0 if self._is_starting else GROWTH
            self._limit = min(self._most, max(self._limit + 1, int(self._limit * growth)))
        self._begin_window()

    def _begin_window(self) -> None:
        self._since = self._clock()
        self._done = self._done_bytes = 0


class Slots:
    """Lets so many threads work at once as a `Concurrency` says; any thread."""

    def __init__(self, concurrency: Concurrency) -> None:
        self.concurrency = concurrency
        self._free = threading.Condition()
        self._taken = 0

    @contextmanager
    def taken(self, stop: CancelToken, most: int | None = None) -> Iterator[None]:
        """Wait for a slot and hold it.

        `most`: wait also while so many are taken, for work that needs much memory.

        Raises:
            Cancelled: stopped while waiting.
        """
        with self._free:
            while self._taken >= min(self.concurrency.limit, most or self.concurrency.limit):
                stop.check()
                self._free.wait(LOOK_S)
            self._taken += 1
        try:
            yield
        finally:
            with self._free:
                self._taken -= 1
                self._free.notify()
