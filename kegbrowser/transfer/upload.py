"""From the local disk to a storage."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from kegbrowser.backends.base import RemoteFile, StorageBackend
from kegbrowser.backends.errors import AlreadyExists, NotSupported, SourceChanged, StorageError
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import Upload
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.moving import Move, Work, more_than_one, move_all
from kegbrowser.transfer.placing import RemotePlaces
from kegbrowser.transfer.plan import FoundFile, FoundFolder, walk_local
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.remote_tree import RemoteTree
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.tuning import Tuning

T = TypeVar("T")

CHECK = "size"


def upload(job: Upload, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out an `Upload` job."""
    storage = context.open(job.spec)
    with Tracker(context.emit) as tracker:
        work = Work(context, tuning, tracker, job.policy)
        tree = RemoteTree(storage, job.target, tuning.retry, work.stop)
        tree.prepare()
        places = RemotePlaces(work, tree, job.spec, more_to_come=more_than_one(job.sources))
        found = walk_local(job.sources, job.rename_to if len(job.sources) == 1 else "")
        move_all(found, Uploader(work, storage, tree, places), work)
        return tracker.report()


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """What is the same as long as nobody writes to a file or puts another in its place."""

    size: int
    modified_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> _Fingerprint:
        return cls(found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)


class Uploader:
    """Moves local files into one remote folder: the `Mover` of uploads."""

    def __init__(self, work: Work, storage: StorageBackend, tree: RemoteTree, places: RemotePlaces) -> None:
        self._work = work
        self._storage = storage
        self._tree = tree
        self._places = places

    def decide(self, file: FoundFile) -> Move | None:
        return self._places.decide(file, file.parts)

    def make_folder(self, folder: FoundFolder) -> None:
        self._tree.make(folder.parts)

    def move(self, move: Move, progress: FileProgress) -> None:
        attempts = Attempts(self._work.tuning.retry, self._work.stop)
        changes = 0
        may_be_there = False
        while True:
            self._work.stop.check()
            sending = _Sending(self._work, self._storage, move, progress)
            try:
                sending.send()
            except AlreadyExists:
                if may_be_there and self._try(partial(self._is_there, move)):
                    break
                resolved = self._places.resolve_late(move)
                if resolved is None:
                    progress.skip()
                    return
                move, may_be_there = resolved, False
                progress.restart()
            except SourceChanged:
                changes += 1
                if changes >= self._work.tuning.tries_of_changing:
                    raise
                progress.restart()
            except StorageError as error:
                # The connection may have broken after the storage took the file, but before it said so.
                may_be_there = may_be_there or sending.was_closing
                attempts.fail(error)
                progress.restart()
            else:
                break
        progress.finish(CHECK)

    def _try(self, action: Callable[[], T]) -> T:
        return retrying(action, self._work.tuning.retry, self._work.stop)

    def _is_there(self, move: Move) -> bool:
        """Whether what is at the place has this file's content, byte for byte."""
        piece_bytes = self._work.tuning.piece_bytes
        with _opened(move.file.path) as fd, self._storage.open_reader(move.place) as reader:
            for piece in reader.iter_chunks(piece_bytes):
                self._work.stop.check()
                if _read(fd, len(piece), move.file.path) != piece:
                    return False
            return not _read(fd, 1, move.file.path)


class _Sending:
    """One attempt to send one file.

    Attributes:
        was_closing: all was written, and only the storage's last word was missing.
    """

    def __init__(self, work: Work, storage: StorageBackend, move: Move, progress: FileProgress) -> None:
        self._work = work
        self._storage = storage
        self._move = move
        self._progress = progress
        self.was_closing = False

    def send(self) -> None:
        path = self._move.file.path
        with _opened(path) as fd:
            before = os.fstat(fd)
            self._progress.restart(before.st_size)
            writer = self._storage.open_writer(
                self._move.place,
                size_bytes=before.st_size,
                overwrite=self._move.overwrite,
                modified=datetime.fromtimestamp(before.st_mtime, UTC),
            )
            with writer:
                self._pump(fd, writer, before.st_size)
                if not _is_unchanged(fd, path, _Fingerprint.of(before)):
                    raise _changed(path)
                self.was_closing = True

    def _pump(self, fd: int, writer: RemoteFile, size: int) -> None:
        path = self._move.file.path
        missing = size
        while missing:
            self._work.stop.check()
            piece = _read(fd, min(missing, self._work.tuning.piece_bytes), path)
            if not piece:
                raise _changed(path)
            writer.write(piece)
            missing -= len(piece)
            self._progress.move(len(piece))


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A local file, for reading. Never waits on a pipe that took the file's place."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with local_errors("read", path):
        fd = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise NotSupported(f"“{os.path.basename(path)}” is not a file any more.", path=path)
        yield fd
    finally:
        os.close(fd)


def _read(fd: int, size: int, path: str) -> bytes:
    with local_errors("read", path):
        return os.read(fd, size)


def _is_unchanged(fd: int, path: str, before: _Fingerprint) -> bool:
    try:
        return _Fingerprint.of(os.fstat(fd)) == before == _Fingerprint.of(os.stat(path))
    except OSError:
        return False  # gone, or not to be looked at any more


def _changed(path: str) -> SourceChanged:
    return SourceChanged(
        f"“{os.path.basename(path)}” changed while it was uploaded.",
        path=path,
        hint="Upload it again when it is finished.",
    )
