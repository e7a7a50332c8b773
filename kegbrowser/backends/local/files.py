"""Local files behind the contract: a reader that notices a change, a writer that appears in one step."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import threading
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import Cancelled, NotSupported, SourceChanged
from kegbrowser.backends.local.errors import shown, translated

PART_ENDING = ".kegpart"
STEP_BYTES = 4 * 1024 * 1024
"""What is read or written between two looks for an interrupt."""

_MAX_NAME_BYTES = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def mark_of(status: os.stat_result) -> str:
    """What stands for the content of a file: it changes whenever the file is written or replaced."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def time_of(status: os.stat_result) -> datetime:
    """When a file was last changed, to the microsecond."""
    return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)


def is_part_name(name: str) -> bool:
    """Whether a name is that of a file which is being written."""
    return name.startswith(".") and name.endswith(PART_ENDING)


def move_without_clobbering(old: str, new: str) -> None:
    """Give a file its new name; refuses in one step if that is taken, where the disk knows hard links.

    Raises:
        FileExistsError: the new name is taken.
    """
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _NO_HARD_LINKS:
            raise
    except NotImplementedError:
        pass
    else:
        os.unlink(old)
        return
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(old, new)


class LocalReader(RemoteFile):
    """Reads a range of a file. One thread at a time; holds nothing in memory.

    A file that is replaced goes on to be read as it was; one that is changed in place is noticed at the end of the range.

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
            # A named pipe without a writer would block for ever.
            self._descriptor = os.open(real, os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0))
        self.closed = False
        try:
            self._left = self._enter(offset, length, etag)
        except BaseException:
            self.close()
            raise

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("The file is closed.")
        if self._stop.is_set():
            raise Cancelled
        if size < 0:
            return b"".join(iter(lambda: self.read(STEP_BYTES), b""))
        wanted = min(size, self._left)
        with translated("read", self._path):
            data = os.read(self._descriptor, wanted) if wanted else b""
            is_short = len(data) < wanted and not data
            if (is_short or len(data) == self._left) and mark_of(os.fstat(self._descriptor)) != self._mark:
                is_short = True
        if is_short:
            raise SourceChanged(f"“{shown(self._path)}” changed while it was read.", path=self._path)
        self._left -= len(data)
        return data

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)

    def _enter(self, offset: int, length: int | None, etag: str) -> int:
        """Go to the offset; gives how many bytes are to be read from there."""
        with translated("open", self._path):
            status = os.fstat(self._descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(status.st_mode):
                raise NotSupported(
                    f"Could not open “{shown(self._path)}”: it is a device or a pipe, not a file.", path=self._path
                )
            os.lseek(self._descriptor, min(offset, status.st_size), os.SEEK_SET)
        self._mark = mark_of(status)
        if etag and etag != self._mark:
            raise SourceChanged(f"“{shown(self._path)}” has changed.", path=self._path)
        rest = max(0, status.st_size - offset)
        return rest if length is None else min(length, rest)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.close()


class LocalWriter(RemoteFile):
    """Writes a hidden file beside the target and puts it in its place at `close`. One thread at a time.

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
        self._part = _part_beside(real)
        with translated("save", path, missing="its folder does not exist"):
            # Names that the disk cannot hold are refused now, not at the end.
            with suppress(FileNotFoundError):
                os.lstat(real)
            if os.path.isdir(real):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        self.closed = False

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        view = memoryview(data).cast("B")
        with translated("save", self._path):
            while view:
                if self._stop.is_set():
                    raise Cancelled
                view = view[os.write(self._descriptor, view[:STEP_BYTES]) :]

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._stop.is_set():
                raise Cancelled
            with translated("save", self._path, missing="its folder does not exist"):
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
            self._close_descriptor()
        with suppress(OSError):
            os.unlink(self._part)

    def _publish(self) -> None:
        os.fsync(self._descriptor)
        self._close_descriptor()
        if self._modified is not None:
            moment_ns = (self._modified - _EPOCH) // timedelta(microseconds=1) * 1000
            os.utime(self._part, ns=(moment_ns, moment_ns))
        if not self._overwrite:
            move_without_clobbering(self._part, self._real)
            return
        with suppress(FileNotFoundError):
            os.chmod(self._part, os.stat(self._real).st_mode & 0o777)
        os.replace(self._part, self._real)

    def _close_descriptor(self) -> None:
        # Its number may be another file's as soon as it is closed: never twice.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"“{shown(self._path)}” was dropped without close: nothing is written", ResourceWarning, stacklevel=2
            )
            self.abort()


def _part_beside(real: str) -> str:
    """A hidden name in the same folder, which nobody has; part of the target's own name is in it."""
    folder, name = os.path.split(real)
    ending = f".{secrets.token_hex(4)}{PART_ENDING}"
    with suppress(ValueError):
        name = os.fsencode(name)[: _MAX_NAME_BYTES - len(ending) - 1].decode("utf-8", "ignore")
    return os.path.join(folder, f".{name}{ending}")
