"""Local files behind the contract: a reader that notices a change, a writer that appears in one step."""

from __future__ import annotations

import io
import os
import secrets
import threading
import warnings
from contextlib import suppress
from datetime import datetime

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import Cancelled, SourceChanged
from kegbrowser.backends.local.errors import shown, translated

PART_ENDING = ".kegpart"
READ_ALL_BYTES = 1024 * 1024


def mark_of(status: os.stat_result) -> str:
    """What stands for the content of a file: it changes whenever the file is written or replaced."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


class LocalReader(RemoteFile):
    """Reads a range of a file. Any one thread at a time.

    Args:
        path: as the user knows it.
        real: of the disk.
        offset, length: the range in bytes; None reads to the end.
        etag: raise SourceChanged if the file's mark is not this one; "" takes any.
        stop: set when the storage is interrupted.
    """

    def __init__(self, path: str, real: str, offset: int, length: int | None, etag: str, stop: threading.Event) -> None:
        super().__init__(FileMode.read)
        self.closed = True
        self._path = path
        self._stop = stop
        with translated("open", path):
            descriptor = os.open(real, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
            self._descriptor = descriptor
            self.closed = False
            self._mark = mark_of(os.fstat(descriptor))
            size = os.fstat(descriptor).st_size
            os.lseek(descriptor, min(offset, size), os.SEEK_SET)
        if etag and etag != self._mark:
            self.close()
            raise SourceChanged(f"“{shown(path)}” has changed.", path=path)
        self._left = size - min(offset, size) if length is None else min(length, max(0, size - offset))

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("The file is closed.")
        if self._stop.is_set():
            raise Cancelled
        if size < 0:
            return b"".join(iter(lambda: self.read(READ_ALL_BYTES), b""))
        with translated("read", self._path):
            data = os.read(self._descriptor, min(size, self._left)) if self._left and size else b""
            changed = (self._left <= len(data) or not data) and mark_of(os.fstat(self._descriptor)) != self._mark
        if changed or (self._left and size and not data):
            raise SourceChanged(f"“{shown(self._path)}” changed while it was read.", path=self._path)
        self._left -= len(data)
        return data

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)


class LocalWriter(RemoteFile):
    """Writes a hidden file beside the target and puts it in its place at `close`. Any one thread at a time.

    Args:
        path: as the user knows it.
        real: of the disk.
        overwrite: whether a target that is there may be replaced.
        modified: time to set; None leaves it.
        stop: set when the storage is interrupted.
    """

    def __init__(
        self, path: str, real: str, *, overwrite: bool, modified: datetime | None, stop: threading.Event
    ) -> None:
        super().__init__(FileMode.write)
        self.closed = True
        self._path = path
        self._real = real
        self._overwrite = overwrite
        self._modified = modified
        self._stop = stop
        folder, name = os.path.split(real)
        ending = f".{secrets.token_hex(4)}{PART_ENDING}"
        stem = os.fsencode(name)[: 255 - len(ending) - 1]
        self._part = os.path.join(folder, f".{stem.decode('utf-8', 'ignore')}{ending}")
        with translated("save", path):
            if os.path.isdir(real):
                raise IsADirectoryError(21, os.strerror(21))
            # Names that the disk cannot hold are refused now, not at the end.
            with suppress(FileNotFoundError):
                os.lstat(real)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self._part, flags, 0o666)
        self.closed = False

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        if self._stop.is_set():
            raise Cancelled
        view = memoryview(data)
        with translated("save", self._path):
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        if self.closed:
            return
        if self._stop.is_set():
            self.abort()
            raise Cancelled
        try:
            with translated("save", self._path):
                self._publish()
        except BaseException:
            self.abort()
            raise
        self.closed = True

    def abort(self) -> None:
        if self.closed:
            return
        self.closed = True
        with suppress(OSError):
            os.close(self._descriptor)
        with suppress(OSError):
            os.unlink(self._part)

    def _publish(self) -> None:
        if self._modified is not None:
            moment_ns = int(self._modified.timestamp() * 1_000_000) * 1000
            os.utime(self._descriptor, ns=(moment_ns, moment_ns))
        if self._overwrite:
            with suppress(FileNotFoundError):
                os.fchmod(self._descriptor, os.stat(self._real).st_mode & 0o7777)
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        if self._overwrite:
            os.replace(self._part, self._real)
        else:
            os.link(self._part, self._real)  # refuses if the target is there, in one step
            os.unlink(self._part)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"“{shown(self._path)}” was dropped without close: nothing is written", ResourceWarning, stacklevel=2
            )
            self.abort()
