"""Files in memory behind the contract. The reader holds the content that was there when it was opened."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import Cancelled


class MemoryReader(RemoteFile):
    """One thread at a time.

    Args:
        content: what is read; later changes of the store do not reach it.
        stop: set when the storage is interrupted.
    """

    def __init__(self, content: bytes, stop: threading.Event) -> None:
        super().__init__(FileMode.read)
        self._content = io.BytesIO(content)
        self._stop = stop

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("The file is closed.")
        if self._stop.is_set():
            raise Cancelled
        return self._content.read(size)

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        self.closed = True


class MemoryWriter(RemoteFile):
    """Collects what is written and hands it over at `close`. One thread at a time.

    Args:
        path: for the warning.
        publish: puts the whole content in its place, or raises.
        stop: set when the storage is interrupted.
    """

    def __init__(self, path: str, publish: Callable[[bytes], None], stop: threading.Event) -> None:
        super().__init__(FileMode.write)
        self._path = path
        self._publish = publish
        self._stop = stop
        self._pieces: list[bytes] = []

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        if self._stop.is_set():
            raise Cancelled
        self._pieces.append(bytes(data))

    def close(self) -> None:
        if self.closed:
            return
        content = b"".join(self._pieces)
        self.abort()
        self._publish(content)

    def abort(self) -> None:
        self.closed = True
        self._pieces.clear()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"“{self._path}” was dropped without close: nothing is written", ResourceWarning, stacklevel=2
            )
            self.abort()
