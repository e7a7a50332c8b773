"""A file of somebody's own paramiko client."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import IsAFolder, NotSupported, SourceChanged
from kegbrowser.backends.sftp import parts, wire
from kegbrowser.backends.sftp.client import BorrowedClient
from kegbrowser.backends.sftp.publishing import part_name, publish
from kegbrowser.backends.sftp.streams import ReadAhead, Shorter, WriteBehind, mark_of
from kegbrowser.backends.sftp.translate import SESSION_ERRORS, SftpStatus, shown, translated
from kegbrowser.backends.sftp.writer import drop

WHOLE_BITE = 1024 * 1024


class SFTPRemoteFile(RemoteFile):
    """A file opened with a bare paramiko client. Any one thread at a time, and the client in no other thread meanwhile.

    Args:
        mode: read or write; both at once are refused.
        path: as the client takes it.
        client: connected; not closed here.

    Raises:
        What `StorageBackend.open` raises.
    """

    def __init__(self, mode: FileMode, path: str, client: paramiko.SFTPClient) -> None:
        super().__init__(mode)
        self.closed = True
        if mode not in (FileMode.read, FileMode.write):
            raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)
        self.path = path
        self.client = client
        self._borrowed = BorrowedClient(client)
        self._buffer = memoryview(b"")
        self._is_whole = False
        with self._translated("open" if mode == FileMode.read else "save"):
            with suppress(SftpStatus):
                self._borrowed.learn_limits()
            real = client._adjust_cwd(path.encode("utf-8", "surrogateescape"))  # type: ignore[attr-defined]
            if mode == FileMode.read:
                self._open(real)
            else:
                self._part = parts.begin(self._borrowed, path, real, part_name(real), follow=True)
                self._behind = WriteBehind(self._borrowed, self._part.handle)
        self.closed = False

    def read(self, size: int) -> bytes:
        self._check(FileMode.read)
        if size < 0:
            return b"".join(iter(lambda: self.read(WHOLE_BITE), b""))
        if size and not self._buffer and not self._is_whole:
            with self._translated("read"):
                self._fill()
        piece = bytes(self._buffer[:size])
        self._buffer = self._buffer[size:]
        return piece

    def write(self, data: bytes) -> None:
        self._check(FileMode.write)
        with self._translated("save"):
            self._behind.write(data)

    def close(self) -> None:
        if self.closed:
            return
        if self.mode == FileMode.read:
            self.closed = True
            with suppress(*SESSION_ERRORS):
                self._borrowed.send(wire.CLOSE, self._handle)
            return
        try:
            with self._translated("save"):
                parts.finish(self._borrowed, self._part.handle, None, self._part.replaced, self._behind.settle)
                publish(self._borrowed, self._part.name, self._part.target, self.path, overwrite=True)
        except BaseException:
            self.abort()
            raise
        self.closed = True

    def abort(self) -> None:
        if self.mode == FileMode.read or self.closed:
            self.close()
            return
        self.closed = True
        with suppress(*SESSION_ERRORS):
            self._borrowed.send(wire.CLOSE, self._part.handle)
            self._borrowed.settled(self._borrowed.send(wire.REMOVE, self._part.name))

    def _open(self, real: bytes) -> None:
        self._handle = self._borrowed.ask(wire.OPEN, real, wire.FOR_READING, wire.NO_ATTRIBUTES).string()
        facts = self._borrowed.attributes(wire.FSTAT, self._handle)
        if facts.is_folder:
            self._borrowed.send(wire.CLOSE, self._handle)
            raise IsAFolder(f"“{shown(self.path)}” is a folder.", path=self.path)
        self._mark = mark_of(facts)
        self._ahead = ReadAhead(self._borrowed, self._handle, 0)
        if facts.size:
            self._ahead.limit(facts.size)

    def _fill(self) -> None:
        try:
            piece = memoryview(self._ahead.next_piece())
        except Shorter:
            raise SourceChanged(f"“{shown(self.path)}” became shorter while it was read.", path=self.path) from None
        if self._ahead.is_complete:
            if mark_of(self._borrowed.attributes(wire.FSTAT, self._handle)) != self._mark:
                raise SourceChanged(f"“{shown(self.path)}” changed while it was read.", path=self.path)
            self._is_whole = True
        self._buffer = piece

    def _check(self, needed: FileMode) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        if self.mode != needed:
            raise io.UnsupportedOperation("This file was opened the other way.")

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        with translated(verb, self.path, "the server", lambda: False):
            yield

    def __del__(self) -> None:
        if getattr(self, "mode", FileMode.read) == FileMode.write:
            drop(self, self.path)
        elif not getattr(self, "closed", True):
            self.close()
