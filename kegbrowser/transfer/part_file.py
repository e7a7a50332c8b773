"""A local file that grows under a hidden name and takes its place in one step, whole."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import secrets
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache

from kegbrowser.backends.errors import QuotaExceeded
from kegbrowser.transfer.local_errors import local_error, local_errors
from kegbrowser.transfer.names import MAX_NAME_BYTES, shortened

log = logging.getLogger(__name__)

PART_ENDING = ".kegpart"
RESERVE_STEP = 1024 * 1024 * 1024
RESERVE_TRIAL = 64 * 1024 * 1024
RESERVE_TRIAL_S = 0.01
"""Reserving takes no time on a disk that can do it. One that takes longer for the trial writes zeros instead, or the C library
does so for it (files in memory, network folders): then everything would be written twice, and cancel would wait."""

_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class PartFile:
    """The unfinished file beside `target`. `write_at` may be called from several threads; all else from one.

    One of `publish`, `leave` and `discard` ends it; a second one does nothing.

    Args:
        target: where it will be; its folder is there.
        overwrite: what is there is to be replaced; the new file gets its permissions, from the first byte on.
        resumed: path of a part file of an earlier run, in the same folder; if it is still there, it is gone on with.
        permissions: mode bits that a new file will get, so that nobody else reads what is secret while it grows.
        before_create: is given the path of a new part file right before it is made, so that a crash leaves none unknown.

    Attributes:
        is_resumed: it is the one of the earlier run.

    Raises:
        PermissionDenied, QuotaExceeded, InvalidName: as the disk says, naming the target.
    """

    def __init__(
        self,
        target: str,
        *,
        overwrite: bool = False,
        resumed: str = "",
        permissions: int | None = None,
        before_create: Callable[[str], None] | None = None,
    ) -> None:
        self.target = target
        self.is_resumed = False
        self._before_create = before_create
        folder, name = os.path.split(target)
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with local_errors("save", target):
            if resumed and os.path.dirname(resumed) == folder:
                self._reopen(resumed, flags)
            if not self.is_resumed:
                mode = _mode_of(target) if overwrite else None
                if mode is None and permissions is not None:
                    mode = permissions & 0o777 | 0o600
                self._create(folder, name, flags | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        self._is_open = True
        self._is_there = True
        self._seek_lock = threading.Lock()

    def _reopen(self, path: str, flags: int) -> None:
        with suppress(FileNotFoundError):
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and path.endswith(PART_ENDING):
                self._fd = os.open(path, flags)
                self.path = path
                self.is_resumed = True

    def _create(self, folder: str, name: str, flags: int, mode: int) -> None:
        ending = f".{secrets.token_hex(4)}{PART_ENDING}"
        self.path = os.path.join(folder, shortened(f".{name}", ending, max_bytes=MAX_NAME_BYTES))
        try:
            self._open_new(flags, mode)
        except OSError as exc:
            if exc.errno != errno.ENAMETOOLONG:
                raise
            self.path = os.path.join(folder, ending)  # a disk that takes less than most
            self._open_new(flags, mode)

    def _open_new(self, flags: int, mode: int) -> None:
        if self._before_create is not None:
            self._before_create(self.path)
        self._fd = os.open(self.path, flags, mode)

    def reserve(self, size_bytes: int, check: Callable[[], None]) -> None:
        """Make sure of the space before anything is moved.

        Raises:
            QuotaExceeded: there is not so much.
        """
        if size_bytes <= 0:
            return
        with local_errors("save", self.target):
            if not hasattr(os, "posix_fallocate"):
                self._check_room(size_bytes)
                return
            start, step = 0, RESERVE_TRIAL
            while start < size_bytes:
                check()
                began = time.monotonic()
                try:
                    os.posix_fallocate(self._fd, start, min(step, size_bytes - start))
                except OSError as exc:
                    if exc.errno in _CANNOT_RESERVE:
                        return
                    raise
                start, is_trial, step = start + step, start == 0, RESERVE_STEP
                if is_trial and time.monotonic() - began > RESERVE_TRIAL_S:
                    self._check_room(size_bytes - start)
                    return

    def _check_room(self, size_bytes: int) -> None:
        if shutil.disk_usage(os.path.dirname(self.path) or ".").free < size_bytes:
            raise local_error(OSError(errno.ENOSPC, ""), "save", self.target)

    def write_at(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        with local_errors("save", self.target):
            view = memoryview(data)
            while view:
                written = self._write(view, offset)
                if written == 0:
                    raise QuotaExceeded(
                        f"Could not save “{os.path.basename(self.target)}”: the disk took nothing more."
                    )
                offset += written
                view = view[written:]

    def read_at(self, offset: int, size: int) -> bytes:
        """What is there, up to `size` bytes."""
        with local_errors("read", self.path):
            if hasattr(os, "pread"):
                return os.pread(self._fd, size, offset)
            with self._seek_lock:
                os.lseek(self._fd, offset, os.SEEK_SET)
                return os.read(self._fd, size)

    def publish(
        self, size_bytes: int, modified: datetime | None, *, overwrite: bool, permissions: int | None = None
    ) -> None:
        """Put it into its place: durable, with its time, all at once.

        `permissions`: mode bits of a new file; one that is replaced keeps its own. None: as new files have them.

        Raises:
            AlreadyExists: the place is taken by now and `overwrite` is False; the part file is still there.
        """
        with local_errors("save", self.target):
            if self._is_open:
                os.ftruncate(self._fd, size_bytes)
                if modified is not None:
                    stamp = modified.timestamp()
                    with suppress(OSError, OverflowError, ValueError):  # a time that this disk cannot keep
                        os.utime(self._fd if os.utime in os.supports_fd else self.path, (stamp, stamp))
                os.fsync(self._fd)
                self._close()
            mode = _mode_of(self.target) if overwrite else None
            if mode is None and permissions is not None:
                mode = permissions & 0o777
            if mode is not None:
                os.chmod(self.path, mode)
            if overwrite:
                os.replace(self.path, self.target)
            else:
                rename_new(self.path, self.target)
            self._is_there = False

    def retarget(self, target: str) -> None:
        """Have it published at another place of the same folder."""
        self.target = target

    def leave(self) -> None:
        """Let go of it; it stays where it is, to be gone on with later."""
        self._close()
        self._is_there = False

    def discard(self) -> None:
        """Remove it."""
        self._close()
        if self._is_there:
            self._is_there = False
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                return
            except OSError as exc:
                log.warning("could not remove the unfinished file %s: %s", self.path, exc)

    def _write(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._fd, view, offset)
        with self._seek_lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.write(self._fd, view)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._fd)


def _mode_of(path: str) -> int | None:
    """Permissions of the file that is there; None if none is."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else None


def rename_new(source: str, target: str) -> None:
    """Rename a file, but never over another one.

    Raises:
        FileExistsError: the target is there.
    """
    if sys.platform == "win32":
        os.rename(source, target)  # refuses by itself
        return
    renameat2 = _renameat2()
    if renameat2 is not None:
        result = renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE)
        if result == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), target)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # A disk with neither (FAT): a look before is the best there is.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from exc
        os.rename(source, target)
        return
    os.unlink(source)


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    typed: Callable[[int, bytes, int, bytes, int], int] = function
    return typed
