"""What comes in on a channel until it is read."""

from __future__ import annotations

import threading
import time
from collections import deque

from paramiko.buffered_pipe import PipeTimeout


class ChunkPipe:
    """Takes the place of a channel's `in_buffer` (a `BufferedPipe`): keeps the pieces as they came.

    paramiko's own copies every piece into one array and moves the rest of that array at every read, which with megabytes in
    it costs more than the decryption.
    """

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._is_closed = False
        self._changed = threading.Condition(threading.Lock())

    def feed(self, data: bytes) -> None:
        with self._changed:
            self._chunks.append(data)
            self._size += len(data)
            self._changed.notify()

    def read_ready(self) -> bool:
        with self._changed:
            return bool(self._chunks)

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._chunks:
                if self._is_closed:
                    return b""
                wait_s = None if end is None else end - time.monotonic()
                if wait_s is not None and wait_s <= 0:
                    raise PipeTimeout
                self._changed.wait(wait_s)
            chunk = self._chunks.popleft()
            if len(chunk) > nbytes:
                self._chunks.appendleft(chunk[nbytes:])
                chunk = chunk[:nbytes]
            self._size -= len(chunk)
            return chunk

    def wait_ready(self, timeout: float) -> bool:
        """Wait until there is something to be read, or an end; whether there is."""
        with self._changed:
            if not self._chunks and not self._is_closed:
                self._changed.wait(timeout)
            return bool(self._chunks) or self._is_closed

    def empty(self) -> bytes:
        with self._changed:
            rest = b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            return rest

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return self._size
