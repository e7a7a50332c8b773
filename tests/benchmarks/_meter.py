"""How late a window's event loop is, measured inside it."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QElapsedTimer, QEventLoop, QObject, Qt, QTimer, Slot

FRAME_MS = 16.0
FRAMES_PER_S = 60.0
TICK_MS = 4


class Meter(QObject):
    """A timer of 4 ms and how late it was served each time, in milliseconds. GUI thread only."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.delays_ms: list[float] = []
        self._clock = QElapsedTimer()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._on_tick)
        self._clock.start()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    @Slot()
    def _on_tick(self) -> None:
        self.delays_ms.append(max(0.0, self._clock.nsecsElapsed() / 1e6 - TICK_MS))
        self._clock.restart()

    def late(self) -> int:
        """How often the loop was held for more than a frame."""
        return sum(delay > FRAME_MS for delay in self.delays_ms)


def wait_until(holds: Callable[[], bool], timeout_s: float) -> None:
    """Run the event loop until something holds.

    Raises:
        AssertionError: it did not within that time.
    """
    loop = QEventLoop()
    end = time.monotonic() + timeout_s
    check = QTimer()
    check.setInterval(50)
    check.timeout.connect(lambda: loop.quit() if holds() or time.monotonic() > end else None)
    check.start()
    loop.exec()
    assert holds(), "the benchmark's work did not end"


def pause(seconds: float) -> None:
    """Let the window go on for a while."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 10)
