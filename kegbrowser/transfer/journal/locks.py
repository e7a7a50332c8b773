"""Locks between processes that end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Self

from kegbrowser.transfer.cancel import CancelToken

PRIVATE_FILE = 0o600
LOOK_S = 0.1


class FileLock:
    """A lock that is held, by this object alone; made by `try_lock`, `wait_for_lock` or `new`. Any thread.

    Attributes:
        name: of a window; "" of other locks.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._lock = threading.Lock()
        self._is_held = True
        self.name = ""

    @classmethod
    def try_lock(cls, path: Path) -> Self | None:
        """Take the lock at once; None if somebody has it.

        Raises:
            OSError: the disk refused.
        """
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
            try:
                is_taken = _lock(handle)
                if is_taken and _is_at(handle, path):
                    return cls(path, handle)
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # taken by another, or of a file that its last holder removed meanwhile
            if not is_taken:
                return None

    @classmethod
    def wait_for_lock(cls, path: Path, seconds: float, stop: CancelToken) -> Self | None:
        """Take the lock as soon as it is free; None if it is not within `seconds`.

        Raises:
            Cancelled: stopped meanwhile.
            OSError: the disk refused.
        """
        waited_s = 0.0
        while (lock := cls.try_lock(path)) is None and waited_s < seconds:
            stop.wait(LOOK_S)
            waited_s += LOOK_S
        return lock

    @classmethod
    def new(cls, folder: Path) -> Self:
        """The lock of a new window."""
        while True:
            name = uuid.uuid4().hex
            lock = cls.try_lock(owner_path(folder, name))
            if lock is not None:  # else somebody who sweeps has just looked at it
                lock.name = name
                return lock

    def release(self) -> None:
        """Let it go and remove the file. The second call does nothing."""
        with self._lock:
            if not self._is_held:
                return
            self._is_held = False
            if sys.platform == "win32":
                os.close(
                    self._handle
                )  # an open file cannot be removed there, nor one that somebody else has locked by now
                with suppress(OSError):
                    self._path.unlink()
            else:
                with suppress(OSError):
                    self._path.unlink()
                os.close(self._handle)


def owner_path(folder: Path, name: str) -> Path:
    """Where the lock of a window is."""
    return folder / f"window-{name}.lock"


def job_path(folder: Path, job_id: int) -> Path:
    """Where the lock of a job that is being run is."""
    return folder / f"job-{job_id}.lock"


def sweep(folder: Path) -> None:
    """Remove the locks that dead processes left."""
    for path in folder.glob("*.lock"):
        with suppress(OSError):
            is_alive(path)


def is_alive(path: Path) -> bool:
    """Whether a process holds the lock; what a dead one left is removed."""
    if not path.exists():
        return False
    lock = FileLock.try_lock(path)
    if lock is None:
        return True
    lock.release()
    return False


def _is_at(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(handle)
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
