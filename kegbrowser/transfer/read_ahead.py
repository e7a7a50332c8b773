"""Reads the next pieces of a file while the last one is being written elsewhere."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import suppress

from kegbrowser.backends.base import RemoteFile

PIECES_AHEAD = 4


def read_ahead(reader: RemoteFile, piece_bytes: int) -> Generator[bytes, None, None]:
    """The pieces of a file to its end; `PIECES_AHEAD` of them are held at most.

    Only this may read from `reader` until the iterator is closed or at its end; what reading raises comes out in its place.
    """
    pieces: queue.Queue[bytes | BaseException] = queue.Queue(PIECES_AHEAD)
    is_closed = threading.Event()

    def read() -> None:
        try:
            piece = b"-"
            while piece and not is_closed.is_set():
                piece = reader.read(piece_bytes)
                pieces.put(piece)
        except BaseException as error:  # the outermost frame of the thread: the reader of the pieces raises it again
            pieces.put(error)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while item := pieces.get():
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_closed.set()
        with suppress(queue.Empty):
            while True:  # make room for one that waits to be put
                pieces.get_nowait()
        thread.join()
