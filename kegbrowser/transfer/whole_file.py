"""Saves a small file in one go: it appears whole, under its name, or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
import zlib
from contextlib import suppress
from datetime import datetime

from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.part_file import PART_ENDING, rename_new

_O_TMPFILE: int = getattr(os, "O_TMPFILE", 0)
_WRITE = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EPERM)


def save_whole(
    target: str, content: bytes, modified: datetime | None, *, overwrite: bool, permissions: int | None = None
) -> None:
    """Write a file and give it its name in one step. It is not forced to the disk: see `force_to_disk`.

    On Linux the file has no name until it is whole, so a crash leaves nothing behind; elsewhere, and where a file is replaced,
    it has a hidden name that follows from `target`, so that the next try clears it away.

    Args:
        permissions: mode bits of a new file; a file that is replaced keeps its own.

    Raises:
        AlreadyExists: the place is taken and `overwrite` is False.
        PermissionDenied, QuotaExceeded, InvalidName: as the disk says.
    """
    with local_errors("save", target):
        if not overwrite and _O_TMPFILE and _save_nameless(target, content, modified, permissions):
            return
        _save_hidden(target, content, modified, permissions, overwrite=overwrite)


def force_to_disk(folder: str) -> None:
    """Wait until what was saved on the disk of `folder` is there for good; where the system cannot say, all disks."""
    if not hasattr(os, "sync"):
        return
    syncfs = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform.startswith("linux") else None
    if syncfs is None:
        os.sync()
        return
    with local_errors("save", folder):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if syncfs(fd) != 0:
                os.sync()
        finally:
            os.close(fd)


def hidden_path(target: str) -> str:
    """Where a file is while it is written."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{zlib.crc32(os.fsencode(name)):08x}{PART_ENDING}")


def _save_nameless(target: str, content: bytes, modified: datetime | None, permissions: int | None) -> bool:
    """False if this disk has no files without a name."""
    try:
        fd = os.open(os.path.dirname(target) or ".", _WRITE | _O_TMPFILE, 0o666)
    except OSError as exc:
        if exc.errno in _NO_NAMELESS:
            return False
        raise
    try:
        _fill(fd, content, modified, permissions)
        try:
            # The folder's handle is not needed for an absolute path, but without one the link itself would not be followed.
            os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError as exc:
            if exc.errno in _NO_NAMELESS:
                return False
            raise
    finally:
        os.close(fd)
    return True


def _save_hidden(
    target: str, content: bytes, modified: datetime | None, permissions: int | None, *, overwrite: bool
) -> None:
    path = hidden_path(target)
    flags = _WRITE | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    mode = _mode_of(target) if overwrite else None
    with suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, flags, 0o666 if mode is None else mode)
    try:
        try:
            _fill(fd, content, modified, permissions if mode is None else mode)
        finally:
            os.close(fd)
        if modified is not None and os.utime not in os.supports_fd:
            _set_time(path, modified)
        if overwrite:
            os.replace(path, target)
        else:
            rename_new(path, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def _fill(fd: int, content: bytes, modified: datetime | None, permissions: int | None) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    if permissions is not None and hasattr(os, "fchmod"):
        os.fchmod(fd, permissions & 0o777)
    if modified is not None and os.utime in os.supports_fd:
        _set_time(fd, modified)


def _set_time(file: int | str, modified: datetime) -> None:
    with suppress(OSError, OverflowError, ValueError):  # a time that this disk cannot keep
        stamp = modified.timestamp()
        os.utime(file, (stamp, stamp))


def _mode_of(path: str) -> int | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else None
