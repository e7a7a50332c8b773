"""Reading ahead of a writer."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import ConnectionLost
from kegbrowser.transfer.read_ahead import PIECES_AHEAD, read_ahead


class _Reader(RemoteFile):
    def __init__(self, pieces: int, *, breaks: bool = False) -> None:
        super().__init__(FileMode.read)
        self.left = pieces
        self.given = 0
        self.breaks = breaks
        self.was_asked_enough = threading.Event()

    def read(self, size: int) -> bytes:
        if self.given > PIECES_AHEAD:
            self.was_asked_enough.set()
        if not self.left:
            if self.breaks:
                raise ConnectionLost("cut")
            return b""
        self.left -= 1
        self.given += 1
        return bytes([self.given % 256]) * size

    def close(self) -> None:
        self.closed = True


def _ahead(reader: _Reader) -> Generator[bytes, None, None]:
    return read_ahead(reader, 10)


def test_pieces_come_in_order_and_end() -> None:
    pieces = list(_ahead(_Reader(300)))

    assert [piece[0] for piece in pieces] == [n % 256 for n in range(1, 301)]


def test_few_pieces_are_held() -> None:
    reader = _Reader(1_000)

    with closing(_ahead(reader)) as pieces:
        next(pieces)
        reader.was_asked_enough.wait(5)
        assert reader.given <= PIECES_AHEAD + 3


def test_failure_comes_out_after_what_was_read() -> None:
    pieces = _ahead(_Reader(2, breaks=True))

    assert len([next(pieces), next(pieces)]) == 2
    with pytest.raises(ConnectionLost):
        next(pieces)


def test_iterator_that_is_given_up_stops_its_thread() -> None:
    before = threading.active_count()
    pieces = _ahead(_Reader(1_000_000))
    next(pieces)

    pieces.close()

    assert threading.active_count() == before
