"""Files over SFTP: a few large requests in flight, and nothing at the target's name until all is there."""

from __future__ import annotations

import io
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_DATA, CMD_FSTAT, CMD_READ, CMD_WRITE, int64

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import NotSupported, SourceChanged
from kegbrowser.backends.sftp.client import Client, Reply
from kegbrowser.backends.sftp.translate import shown

if TYPE_CHECKING:
    from kegbrowser.backends.sftp.storage import SFTPStorage

DEPTH = 8
"""Requests in flight. With the largest ones (255 KiB) a reader or writer holds 2 MiB at most."""


class SFTPRemoteFile(RemoteFile):
    """A file opened with a bare paramiko client, read or written in place. Any one thread at a time.

    Args:
        mode: read or write; both at once are refused.
        path: as the client takes it.
        client: connected; not closed here.
    """

    def __init__(self, mode: FileMode, path: str, client: paramiko.SFTPClient) -> None:
        super().__init__(mode)
        self.closed = True
        if mode not in (FileMode.read, FileMode.write):
            raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)
        self.path = path
        self._client = client
        self._part = path if mode == FileMode.read else f"{path}.kegpart"
        self._file = client.open(self._part, str(mode))
        self.closed = False

    def read(self, size: int) -> bytes:
        self._check(FileMode.read)
        return self._file.read(None if size < 0 else size)

    def write(self, data: bytes) -> None:
        self._check(FileMode.write)
        self._file.set_pipelined(True)
        self._file.write(data)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._file.close()
        if self.mode == FileMode.write:
            self._client.posix_rename(self._part, self.path)

    def abort(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._file.close()
        if self.mode == FileMode.write:
            self._client.remove(self._part)

    def _check(self, needed: FileMode) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        if self.mode != needed:
            raise io.UnsupportedOperation("This file was opened the other way.")

    def __del__(self) -> None:
        _drop(self, getattr(self, "path", ""))


class SftpReader(RemoteFile):
    """A range of a file, requested ahead. Any one thread at a time.

    Args:
        storage: gives the client and translates.
        path: as the user knows it.
        client: of the storage's pool; given back at `close`.
        handle: open for reading.
        size: of the whole file.
        mark: of the file when it was opened, as `mark_of` gives it.
        offset, length: the range, inside the file.
    """

    def __init__(
        self,
        storage: SFTPStorage,
        path: str,
        client: Client,
        handle: bytes,
        size: int,
        mark: str,
        offset: int,
        length: int,
    ) -> None:
        super().__init__(FileMode.read)
        self._storage = storage
        self._path = path
        self._client = client
        self._handle = handle
        self._mark = mark
        self._next = offset
        self._end = min(size, offset + length)
        self._left = max(0, self._end - offset)
        self._flying: deque[tuple[int, int, Reply]] = deque()
        self._buffer = memoryview(b"")
        self._is_checked = False

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("The file is closed.")
        if size < 0:
            return b"".join(iter(lambda: self.read(1024 * 1024), b""))
        with self._storage.translated("read", self._path):
            if not self._buffer and self._left and size:
                self._buffer = memoryview(self._next_piece())
            if not self._left and not self._is_checked:
                self._check_unchanged()
        piece = self._buffer[:size]
        self._buffer = self._buffer[size:]
        self._left -= len(piece)
        if not self._left and not self._is_checked:
            with self._storage.translated("read", self._path):
                self._check_unchanged()
        return bytes(piece)

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._buffer = memoryview(b"")
        if self._flying or self._storage.sessions.is_interrupted:
            # Answers that nobody waits for are still on their way: the channel cannot be used for anything else.
            self._storage.sessions.discard(self._client)
            return
        try:
            self._client.ask(CMD_CLOSE, self._handle)
        except (OSError, EOFError, paramiko.SSHException):
            self._storage.sessions.discard(self._client)
        else:
            self._storage.sessions.give_back(self._client)

    def _next_piece(self) -> bytes:
        client = self._client
        while len(self._flying) < DEPTH and self._next < self._end:
            length = min(client.max_read_bytes, self._end - self._next)
            self._flying.append((self._next, length, client.send(CMD_READ, self._handle, int64(self._next), length)))
            self._next += length
        offset, length, reply = self._flying.popleft()
        try:
            kind, answer = client.wait(reply)
        except EOFError:
            raise SourceChanged(f"“{shown(self._path)}” became shorter while it was read.", path=self._path) from None
        if kind != CMD_DATA:
            raise paramiko.SFTPError("Expected data")
        data: bytes = answer.get_string()
        if not data:
            raise SourceChanged(f"“{shown(self._path)}” became shorter while it was read.", path=self._path)
        if len(data) < length:
            # Servers may give less than was asked for: the rest comes before all that is in flight.
            rest = offset + len(data), length - len(data)
            self._flying.appendleft((*rest, client.send(CMD_READ, self._handle, int64(rest[0]), rest[1])))
        return data

    def _check_unchanged(self) -> None:
        self._is_checked = True
        if mark_of(self._client.attributes(CMD_FSTAT, self._handle)) != self._mark:
            raise SourceChanged(f"“{shown(self._path)}” changed while it was read.", path=self._path)


class SftpWriter(RemoteFile):
    """Writes to a temporary name; `publish` puts it in its place. Any one thread at a time.

    Args:
        storage: gives the client and translates.
        path: as the user knows it.
        client: of the storage's pool; given back at `close`.
        handle: of the temporary file, open for writing.
        publish: called at `close` when all is written; removes the temporary file if it fails.
        remove: removes the temporary file, also when the connection is gone.
    """

    def __init__(
        self,
        storage: SFTPStorage,
        path: str,
        client: Client,
        handle: bytes,
        publish: Callable[[Client, bytes], None],
        remove: Callable[[Client], None],
    ) -> None:
        super().__init__(FileMode.write)
        self._storage = storage
        self._path = path
        self._client = client
        self._handle = handle
        self._publish = publish
        self._remove = remove
        self._offset = 0
        self._flying: deque[Reply] = deque()

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        client, view = self._client, memoryview(data)
        with self._storage.translated("save", self._path, self._storage.why_not_written):
            for start in range(0, len(view), client.max_write_bytes):
                if len(self._flying) >= DEPTH:
                    client.wait(self._flying.popleft())
                piece = bytes(view[start : start + client.max_write_bytes])
                self._flying.append(client.send(CMD_WRITE, self._handle, int64(self._offset), piece))
                self._offset += len(piece)

    def close(self) -> None:
        if self.closed:
            return
        try:
            with self._storage.translated("save", self._path, self._storage.why_not_written):
                while self._flying:
                    self._client.wait(self._flying.popleft())
                self._publish(self._client, self._handle)
        except BaseException:
            self.abort()
            raise
        self.closed = True
        self._storage.sessions.give_back(self._client)

    def abort(self) -> None:
        if self.closed:
            return
        self.closed = True
        sessions = self._storage.sessions
        with suppress(OSError, EOFError, paramiko.SSHException):
            while self._flying:
                with suppress(OSError):
                    self._client.wait(self._flying.popleft())
            self._client.ask(CMD_CLOSE, self._handle)
        self._remove(self._client)
        sessions.give_back(self._client)

    def __del__(self) -> None:
        _drop(self, getattr(self, "_path", ""))


def mark_of(attributes: paramiko.SFTPAttributes) -> str:
    """What stands for the content of a file: SFTP tells no more than its time (in seconds) and its size."""
    return f"{attributes.st_mtime or 0:x}-{attributes.st_size or 0:x}"


def _drop(file: RemoteFile, path: str) -> None:
    if not getattr(file, "closed", True):
        if file.mode == FileMode.write:
            warnings.warn(
                f"“{shown(path)}” was dropped without close: nothing is written", ResourceWarning, stacklevel=3
            )
        file.abort()
