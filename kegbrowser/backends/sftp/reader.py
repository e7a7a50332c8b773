"""A file that is read."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import IsAFolder, SourceChanged
from kegbrowser.backends.sftp import wire
from kegbrowser.backends.sftp.client import Reply
from kegbrowser.backends.sftp.sessions import Sessions
from kegbrowser.backends.sftp.streams import ENDLESS, ReadAhead, Shorter, mark_of
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, shown

WHOLE_BITE = 1024 * 1024

Translated = Callable[[], AbstractContextManager[None]]


class SftpReader(RemoteFile):
    """A range of a file, asked for ahead. Any one thread at a time.

    Memory: see `ReadAhead`.

    Args:
        path: as the user knows it.
        real: as the server does.
        sessions: gives the session, which is given back at `close`.
        translated: makes errors the user's.
        offset, length: the range, cut at the file's end.
        etag: what the file's mark must be; "" for any.

    Raises:
        What `StorageBackend.open_reader` raises.
    """

    def __init__(
        self,
        path: str,
        real: bytes,
        sessions: Sessions,
        translated: Translated,
        offset: int,
        length: int | None,
        etag: str,
    ) -> None:
        super().__init__(FileMode.read)
        self.closed = True
        self._path = path
        self._sessions = sessions
        self._translated = translated
        self._buffer = memoryview(b"")
        self._is_whole = False
        self._check: Reply | None = None
        with translated():
            self._session = sessions.take()
            try:
                self._handle = self._session.ask(wire.OPEN, real, wire.FOR_READING, wire.NO_ATTRIBUTES).string()
            except BaseException:
                self._leave()
                raise
            self.closed = False
            try:
                self._begin(offset, length, etag)
            except BaseException:
                self.close()
                raise

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("The file is closed.")
        if size < 0:
            return b"".join(iter(lambda: self.read(WHOLE_BITE), b""))
        if size and not self._buffer:
            with self._translated():
                self._fill()
        piece = bytes(self._buffer[:size])
        self._buffer = self._buffer[size:]
        return piece

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._buffer = memoryview(b"")
        if self._ahead.is_quiet and self._session.is_usable:
            with suppress(*SESSION_ERRORS):
                self._session.send(wire.CLOSE, self._handle)  # nobody waits for the answer
            self._leave()
        else:
            # Answers that nobody wants are still on their way: the next user would wait for all of them.
            self._sessions.discard(self._session)

    def _begin(self, offset: int, length: int | None, etag: str) -> None:
        """All that is needed for a small file in one round trip: its facts before, its bytes, its facts after."""
        session, end = self._session, ENDLESS if length is None else offset + length
        self._ahead = ReadAhead(session, self._handle, offset, end)
        facts_first = session.send(wire.FSTAT, self._handle)
        self._ahead.begin()
        self._check = session.send(wire.FSTAT, self._handle)
        facts = session.wait(facts_first).attributes()
        if facts.is_folder:
            raise IsAFolder(f"“{shown(self._path)}” is a folder.", path=self._path)
        self._mark = mark_of(facts)
        if etag and etag != self._mark:
            raise SourceChanged(f"“{shown(self._path)}” has changed.", path=self._path)
        # What the kernel makes up as it is read (/proc) says that it is empty: such a file is read to its end.
        if facts.size:
            self._ahead.limit(max(offset, min(facts.size, end)))

    def _fill(self) -> None:
        if self._is_whole:
            return
        try:
            piece = memoryview(self._ahead.next_piece())
        except Shorter:
            raise SourceChanged(f"“{shown(self._path)}” became shorter while it was read.", path=self._path) from None
        if self._ahead.is_complete:
            self._check_unchanged()
            self._is_whole = True
        # Facts that were asked for beside the first piece tell nothing about the later ones.
        self._check = None
        self._buffer = piece

    def _check_unchanged(self) -> None:
        check = self._check or self._session.send(wire.FSTAT, self._handle)
        if mark_of(self._session.wait(check).attributes()) != self._mark:
            raise SourceChanged(f"“{shown(self._path)}” changed while it was read.", path=self._path)

    def _leave(self) -> None:
        self._sessions.give_back(self._session)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.close()
