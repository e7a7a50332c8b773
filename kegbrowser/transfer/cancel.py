"""The one way to stop a running job."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kegbrowser.backends.errors import Cancelled


class CancelToken:
    """Tells a job to stop; any thread. What blocks registers a way to be woken.

    A token is cancelled once and for ever.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._wakers: dict[int, Callable[[], None]] = {}
        self._next_id = 0
        self._keeps = False

    @property
    def keeps(self) -> bool:
        """Whether it was cancelled so that what is unfinished is kept, to be taken up later."""
        return self._keeps

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self, *, keep: bool = False) -> None:
        """Stop the job: run every registered waker once. The second call does nothing.

        `keep`: leave what is unfinished at the target where the journal knows it, instead of removing it.
        """
        with self._lock:
            if self._event.is_set():
                return
            self._keeps = keep
            self._event.set()
            wakers = list(self._wakers.values())
            self._wakers.clear()
        for wake in wakers:
            wake()

    def check(self) -> None:
        """Raise `Cancelled` if cancelled."""
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until cancelled, which raises `Cancelled`."""
        if self._event.wait(seconds):
            raise Cancelled

    def on_cancel(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called at cancel, at once if that has been; it must not block. Gives a way to take it back."""
        with self._lock:
            if not self._event.is_set():
                key = self._next_id
                self._next_id += 1
                self._wakers[key] = wake
                return lambda: self._forget(key)
        wake()
        return _nothing

    def _forget(self, key: int) -> None:
        with self._lock:
            self._wakers.pop(key, None)


def _nothing() -> None:
    return None
