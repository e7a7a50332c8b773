"""Sends one large file in parts: several at once, gone on with where an earlier run was, committed when all is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    CheckFailed,
    ConnectionLost,
    FileNotFoundInStorageError,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.proofs import ALGORITHMS, Proof
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec
from kegbrowser.transfer.digesting import Hasher, best_of
from kegbrowser.transfer.moving import Move, Work
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS
from kegbrowser.transfer.progress import FileProgress
from kegbrowser.transfer.records import ItemEnd, ItemState
from kegbrowser.transfer.remembering import held_parts, mark_of
from kegbrowser.transfer.retry import Attempts, retrying

T = TypeVar("T")


class PartSource(Protocol):
    """What is sent: a local file, or one of another storage.

    Attributes:
        size: bytes.
    """

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there; fewer only at the end. Any thread."""
        ...

    def check_unchanged(self) -> None:
        """Raise `SourceChanged` if it is not what it was."""
        ...


class Sending:
    """One attempt to send one file in parts."""

    def __init__(
        self,
        work: Work,
        storage: StorageBackend,
        spec: UploadSpec,
        move: Move,
        source: PartSource,
        progress: FileProgress,
    ) -> None:
        self._work = work
        self._storage = storage
        self._spec = spec
        self._move = move
        self._source = source
        self._progress = progress

    def run(self, compare: Callable[[], Proof | None], *, may_be_there: bool = False) -> Proof:
        """Send all of it and let it appear.

        Args:
            compare: whether what is at the place has this content, and how that was found out; asked where an earlier try may
                have completed the upload.
            may_be_there: an earlier try may have been of this very file.

        Raises:
            AlreadyExists, SourceChanged, CheckFailed: nothing is left at the storage.
            StorageError: likewise, but what was sent is kept if somebody remembers it and the job as a whole has to stop.
        """
        upload = self._resume()
        if upload is None:
            there = compare() if may_be_there and self._was_begun() else None
            if there is not None:
                return there
            upload = self._begin()
        try:
            self._send_missing(upload)
            self._source.check_unchanged()
            return self._commit(upload, compare)
        except Cancelled:
            self._let_go(upload, keep=self._work.keeps)
            raise
        except (ConnectionLost, *WHOLE_JOB_ERRORS):
            self._let_go(upload, keep=self._work.is_kept)
            raise
        except BaseException:
            self._let_go(upload, keep=False)
            raise

    def _was_begun(self) -> bool:
        return self._move.record is not None and bool(self._move.record.token)

    def _begin(self) -> PartedUpload:
        upload = self._try(lambda: self._storage.begin_upload(self._spec))
        self._work.journal.begin(self._move.item, upload.token, self._spec.path)
        return upload

    def _resume(self) -> PartedUpload | None:
        """The upload of an earlier run, with what of it is still true; None if there is none."""
        move, record = self._move, self._move.record
        if record is None or not record.token:
            return None
        if record.mark != mark_of(move.file) or move.file.size != self._source.size or record.place != self._spec.path:
            self._drop(record.place, record.token)
            return None
        noted = self._work.journal.parts(move.item)
        try:
            upload = self._try(lambda: self._storage.resume_upload(self._spec, record.token, noted))
        except FileNotFoundInStorageError:
            return None
        held = held_parts(upload.parts, upload.part_bytes, self._source.size, self._source.read, self._work.stop.check)
        upload.parts = held
        self._progress.resume(sum(part.size for part in held.values()))
        return upload

    def _drop(self, path: str, token: str) -> None:
        self._try(lambda: self._storage.discard_upload(path, token))

    def _send_missing(self, upload: PartedUpload) -> None:
        count = max(1, -(-self._source.size // upload.part_bytes))
        missing = [number for number in range(count) if number not in upload.parts]
        if not missing:
            return
        most = max(1, min(upload.max_parallel, self._work.tuning.part_memory_bytes // upload.part_bytes))

        def send(number: int, check: Callable[[], None]) -> None:
            with self._work.slots.taken(self._work.stop, most):
                part = self._send_part(upload, number, check)
            self._work.journal.add_part(self._move.item, part)

        in_parallel(missing, send, min(most, len(missing)))

    def _send_part(self, upload: PartedUpload, number: int, check: Callable[[], None]) -> Part:
        work, source = self._work, self._source
        offset = number * upload.part_bytes
        size = min(upload.part_bytes, source.size - offset)
        attempts = Attempts(work.tuning.retry, work.stop)
        sent = 0

        def on_sent(count: int) -> None:
            nonlocal sent
            work.stop.check()
            check()
            work.pace.take(Direction.UP, count, work.stop)
            sent += count
            self._progress.move(count)

        while True:
            content = source.read(offset, size)
            if len(content) != size:
                source.check_unchanged()
                raise SourceChanged(f"“{self._spec.path}” became shorter while it was sent.", path=self._spec.path)
            try:
                part = upload.send(number, content, on_sent)
            except AlreadyExists:
                raise
            except StorageError as error:
                self._progress.take_back(sent)
                sent = 0
                if error.retryable:
                    work.slots.concurrency.shrink()
                attempts.fail(error)
            else:
                work.slots.concurrency.add(1, size)
                return part

    def _commit(self, upload: PartedUpload, compare: Callable[[], Proof | None]) -> Proof:
        attempts = Attempts(self._work.tuning.retry, self._work.stop)
        was_lost = False
        while True:
            self._work.stop.check()
            try:
                return upload.commit()
            except CheckFailed:
                raise
            except StorageError as error:
                # The connection may have broken after the storage did it, but before it said so.
                there = compare() if was_lost and not error.retryable else None
                if there is not None:
                    upload.leave()
                    return there
                was_lost = True
                attempts.fail(error)

    def _let_go(self, upload: PartedUpload, *, keep: bool) -> None:
        if keep:
            upload.leave()
        else:
            upload.discard()
            self._work.journal.end(self._move.item, ItemEnd(ItemState.PLANNED))

    def _try(self, action: Callable[[], T]) -> T:
        return retrying(action, self._work.tuning.retry, self._work.stop)


def same_content(storage: StorageBackend, path: str, source: PartSource, work: Work) -> Proof | None:
    """How a file of a storage was found to be what `source` is: by its checksum, or else byte for byte; None: it is not."""
    try:
        if storage.stat(path).size != source.size:
            return None
    except FileNotFoundInStorageError:
        return None
    digests = storage.digests(path)
    algorithm = best_of(digests)
    step = work.tuning.piece_bytes
    if algorithm:
        hasher = Hasher(algorithm)
        for offset in range(0, source.size, step):
            work.stop.check()
            hasher.update(source.read(offset, step))
        same = hasher.hexdigest() == digests.values[algorithm]
        return Proof.verified(ALGORITHMS[algorithm]) if same else None
    offset = 0
    with storage.open_reader(path) as reader:
        for piece in reader.iter_chunks(step):
            work.stop.check()
            if source.read(offset, len(piece)) != piece:
                return None
            offset += len(piece)
    return Proof.verified("each byte") if offset == source.size else None
