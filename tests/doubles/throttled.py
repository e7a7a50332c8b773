"""A storage behind a slow line, around any other."""

from __future__ import annotations

import threading

from kegbrowser.backends.base import RemoteFile, StorageBackend
from kegbrowser.backends.errors import Cancelled
from tests.doubles.passing import PassingBackend, PassingFile


class ThrottledBackend(PassingBackend):
    """Each call waits; files pass at a limited rate. An interrupt ends every wait at once. Any thread.

    Args:
        inner: what is slow.
        delay_s: before each call and each page.
        rate_bytes_per_s: of each file; 0 for no limit.

    Attributes:
        stalled: while it is set, nothing passes at all.
    """

    def __init__(self, inner: StorageBackend, *, delay_s: float = 0.0, rate_bytes_per_s: float = 0.0) -> None:
        super().__init__(inner)
        self.delay_s = delay_s
        self.rate_bytes_per_s = rate_bytes_per_s
        self.stalled = threading.Event()
        self._stop = threading.Event()

    def before(self, call: str) -> None:
        self.wait(self.delay_s)
        while self.stalled.is_set():
            self.wait(0.01)

    def wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Cancelled

    def wrap(self, file: RemoteFile) -> RemoteFile:
        return _SlowFile(self, file)

    def interrupt(self) -> None:
        self._stop.set()
        self.inner.interrupt()


class _SlowFile(PassingFile):
    storage: ThrottledBackend

    def read(self, size: int) -> bytes:
        data = super().read(size)
        self._pass(len(data))
        return data

    def write(self, data: bytes) -> None:
        self._pass(len(data))
        super().write(data)

    def _pass(self, count: int) -> None:
        if self.storage.rate_bytes_per_s:
            self.storage.wait(count / self.storage.rate_bytes_per_s)
