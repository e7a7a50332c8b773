"""From the local disk to a storage."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Self

from kegbrowser.backends.base import RemoteFile, StorageBackend
from kegbrowser.backends.batches import FileResult, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    FileNotFoundInStorageError,
    NotSupported,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import UploadSpec
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import Upload
from kegbrowser.transfer.links import RemoteLinks
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.local_walk import walk_local
from kegbrowser.transfer.moving import Arrived, Batch, Move, Work, more_than_one, move_all
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import Lanes
from kegbrowser.transfer.placing import RemotePlaces, for_people
from kegbrowser.transfer.plan import FoundFile, FoundFolder, FoundLink, WalkRules
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.records import ItemRecord, ItemState
from kegbrowser.transfer.remote_tree import RemoteTree
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.sending import Sending, same_content
from kegbrowser.transfer.small_files import SmallFiles
from kegbrowser.transfer.tuning import Tuning

STREAM_REASON = "the storage takes files only as one stream"


def upload(job: Upload, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out an `Upload` job."""
    storage = context.open(job.spec)
    with Tracker(context.emit) as tracker:
        work = Work(context, tuning, tracker, job.policy)
        tree = RemoteTree(storage, job.target, tuning.retry, work.stop)
        tree.prepare()
        places = RemotePlaces(work, tree, job.spec, more_to_come=more_than_one(job.sources))
        show = partial(for_people, job.spec)
        more = more_than_one(job.sources)
        links = RemoteLinks(storage, tree, work.conflicts, show, more_to_come=more, is_foreign=False)
        found = walk_local(job.sources, job.rename_to if len(job.sources) == 1 else "", WalkRules.of(job))
        move_all(found, Uploader(work, storage, tree, places, links), work)
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

    def __init__(
        self, work: Work, storage: StorageBackend, tree: RemoteTree, places: RemotePlaces, links: RemoteLinks
    ) -> None:
        self._work = work
        self._links = links
        self._storage = storage
        self._tree = tree
        self._places = places

    def decide(self, file: FoundFile) -> Move | None:
        return self._places.decide(file, file.parts)

    def recall(self, file: FoundFile, record: ItemRecord) -> tuple[Move, bool]:
        move, is_intact = self._places.recall(file, file.parts, record)
        if self._storage.capabilities.real_folders and record.state is not ItemState.DONE:
            self._sweep(move, record)
        return move, is_intact

    def _sweep(self, move: Move, record: ItemRecord) -> None:
        """Remove the hidden files that a killed run left of this one; what its journal knows is gone on with."""
        for path in self._tree.part_files(move.parts):
            if not record.token or record.token not in path:
                with suppress(FileNotFoundInStorageError):
                    retrying(partial(self._storage.delete, path), self._work.tuning.retry, self._work.stop)

    def make_folder(self, folder: FoundFolder) -> None:
        self._tree.make(folder.parts)

    def make_link(self, link: FoundLink) -> bool:
        return self._links.make(link, link.parts)

    def batch(self, lanes: Lanes[Move]) -> Batch:
        return _SmallUploads(self._work, lanes, Direction.UP, self._storage.write_files)

    def move(self, move: Move, progress: FileProgress) -> Arrived | None:
        attempts = Attempts(self._work.tuning.retry, self._work.stop)
        changes = 0
        may_be_there = move.is_retried or move.record is not None
        while True:
            self._work.stop.check()
            source = _LocalSource(move.file.path)
            try:
                with source:
                    progress.restart(source.size)
                    proof = self._send(source, move, progress, may_be_there=may_be_there)
            except AlreadyExists:
                if may_be_there and (there := self._compare(move)) is not None:
                    return Arrived(move.place, there)
                resolved = self._places.resolve_late(move)
                if resolved is None:
                    return None
                move, may_be_there = replace(resolved, record=None), False
            except (SourceChanged, CheckFailed):
                changes += 1
                if changes >= self._work.tuning.tries_of_changing:
                    raise
            except StorageError as error:
                if self._goes_in_parts(source):
                    raise  # each part was tried often enough
                # The connection may have broken after the storage took the file, but before it said so.
                may_be_there = may_be_there or source.is_whole
                attempts.fail(error)
            else:
                return Arrived(move.place, proof)

    def _goes_in_parts(self, source: _LocalSource) -> bool:
        return self._storage.capabilities.resumable and source.size > self._work.tuning.small_file_bytes

    def _send(self, source: _LocalSource, move: Move, progress: FileProgress, *, may_be_there: bool) -> Proof:
        if not self._goes_in_parts(source):
            return self._stream(source, move, progress)
        spec = UploadSpec(move.place, source.size, move.overwrite, source.modified, move.file.permissions)
        sending = Sending(self._work, self._storage, spec, move, source, progress)
        return sending.run(partial(self._compare, move), may_be_there=may_be_there)

    def _stream(self, source: _LocalSource, move: Move, progress: FileProgress) -> Proof:
        """Send a file as one stream."""
        writer = self._storage.open_writer(
            move.place, size_bytes=source.size, overwrite=move.overwrite, modified=source.modified
        )
        with writer:
            self._pump(source, writer, progress)
            source.check_unchanged()
            source.is_whole = True
        return Proof.size_only(STREAM_REASON)

    def _pump(self, source: _LocalSource, writer: RemoteFile, progress: FileProgress) -> None:
        work, offset = self._work, 0
        while offset < source.size:
            work.stop.check()
            piece = source.read(offset, min(source.size - offset, work.tuning.piece_bytes))
            if not piece:
                raise _changed(source.path)
            work.pace.take(Direction.UP, len(piece), work.stop)
            writer.write(piece)
            offset += len(piece)
            progress.move(len(piece))

    def _compare(self, move: Move) -> Proof | None:
        """How what is at the place was found to be this very file: by the storage's checksum, or else byte for byte."""
        with _LocalSource(move.file.path) as source:
            compare = partial(same_content, self._storage, move.place, source, self._work)
            return retrying(compare, self._work.tuning.retry, self._work.stop)


class _SmallUploads(SmallFiles[WriteRequest]):
    """The small files of an upload."""

    def prepare(self, move: Move, key: int) -> WriteRequest:
        with _LocalSource(move.file.path) as source:
            content = source.read(0, source.size)
            source.check_unchanged()
            if len(content) != source.size or source.size != move.file.size:
                raise _changed(source.path)
            return WriteRequest(key, move.place, content, move.overwrite, source.modified, move.file.permissions)

    def accept(self, move: Move, result: FileResult) -> Arrived:
        return Arrived(move.place, result.proof)


class _LocalSource:
    """An open local file that is to stay as it is. A context manager. `read` by any thread.

    Attributes:
        is_whole: all of it was sent, and only the storage's last word was missing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self.modified: datetime | None = None
        self.is_whole = False

    def __enter__(self) -> Self:
        self._fd = _open(self.path)
        found = os.fstat(self._fd)
        self._before = _Fingerprint.of(found)
        self.size = found.st_size
        self.modified = datetime.fromtimestamp(found.st_mtime, UTC)
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there, all of them but at the end."""
        with local_errors("read", self.path):
            content = _pread(self._fd, size, offset)
            while 0 < len(content) < size:
                more = _pread(self._fd, size - len(content), offset + len(content))
                if not more:
                    break
                content += more
            return content

    def check_unchanged(self) -> None:
        """Raise `SourceChanged` if somebody wrote to it or put another in its place."""
        try:
            same = _Fingerprint.of(os.fstat(self._fd)) == self._before == _Fingerprint.of(os.stat(self.path))
        except OSError:
            same = False  # gone, or not to be looked at any more
        if not same:
            raise _changed(self.path)


def _open(path: str) -> int:
    """A local file, for reading. Never waits on a pipe that took the file's place."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    with local_errors("read", path):
        fd = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotSupported(f"“{os.path.basename(path)}” is not a file any more.", path=path)
    return fd


def _pread(fd: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    with _SEEK_LOCK:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)


_SEEK_LOCK = threading.Lock()


def _changed(path: str) -> SourceChanged:
    return SourceChanged(
        f"“{os.path.basename(path)}” changed while it was uploaded.",
        path=path,
        hint="Upload it again when it is finished.",
    )
