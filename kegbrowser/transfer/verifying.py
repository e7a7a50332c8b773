"""Compares remote files with local ones: names, sizes and content; nothing is changed on either side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import Cancelled, CheckFailed, FileNotFoundInStorageError, StorageError
from kegbrowser.backends.proofs import ALGORITHMS, Proof
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.digesting import Hasher, best_of
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import Pair, VerifyAgain
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.local_tree import existing_at
from kegbrowser.transfer.local_walk import walk_local
from kegbrowser.transfer.names import LocalNames
from kegbrowser.transfer.pace import Direction
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.part_file import PART_ENDING
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, FoundFile, FoundFolder, NotFound, walk_remote
from kegbrowser.transfer.progress import Tracker
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.tuning import Tuning

T = TypeVar("T")

COMPARED_AT_ONCE = 8


def verify_again(job: VerifyAgain, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `VerifyAgain` job.

    Memory: 100 bytes for each file, to know in the end which of the local ones are in excess; nothing without `finds_extra`.
    """
    storage = context.open(job.spec)
    with Tracker(context.emit) as tracker:
        comparing = _Comparing(storage, context, tuning, tracker, read_whole=job.read_whole)
        walk = _Walk(job, storage, tuning, context.token, tracker)
        in_parallel(walk.pairs(), comparing.compare, COMPARED_AT_ONCE)
        if job.finds_extra:
            walk.tell_extra()
        tracker.finish_plan()
        return tracker.report()


def whole_content(
    storage: StorageBackend, file: FoundFile, context: JobContext, tuning: Tuning, check: Callable[[], None]
) -> Iterator[bytes]:
    """A remote file from its beginning to its end, at the job's pace; after a lost connection it goes on where it was.

    Raises:
        SourceChanged, StorageError.
    """
    attempts = Attempts(tuning.retry, context.token)
    offset = 0
    while file.size is None or offset < file.size:
        try:
            with storage.open_reader(file.path, offset=offset, etag=file.etag) as reader:
                while piece := reader.read(context.pace.piece_bytes(Direction.DOWN, tuning.piece_bytes)):
                    check()
                    context.pace.take(Direction.DOWN, len(piece), context.token)
                    offset += len(piece)
                    attempts.succeed()
                    yield piece
            return
        except StorageError as error:
            attempts.fail(error)


@dataclass(frozen=True, slots=True)
class _Two:
    """A remote file and the local path where the same should be."""

    file: FoundFile
    local: str


class _Walk:
    """Walks the pairs of a job. One thread at a time."""

    def __init__(
        self, job: VerifyAgain, storage: StorageBackend, tuning: Tuning, token: CancelToken, tracker: Tracker
    ) -> None:
        self._job = job
        self._storage = storage
        self._tuning = tuning
        self._token = token
        self._tracker = tracker
        self._names = LocalNames()
        self._known: set[int] = set()

    def pairs(self) -> Iterator[_Two]:
        """All remote files, each with its local place; what cannot be looked at is told."""
        for pair in self._job.pairs:
            for found in walk_remote(self._storage, (pair.source,), "x", self._tuning.retry, self._token):
                self._token.check()
                match found:
                    case FoundFile():
                        local = self._local(pair, found.parts, is_folder=False)
                        self._tracker.plan(found.size)
                        yield _Two(found, local)
                    case FoundFolder():
                        self._look_for_folder(found, self._local(pair, found.parts, is_folder=True))
                    case NotFound(path, error):
                        self._tracker.fail(path, error, was_planned=False)

    def tell_extra(self) -> None:
        """Tell what is only on the local side; part files and what lies behind links to folders are passed over."""
        for pair in self._job.pairs:
            if not pair.source.is_folder:
                continue
            for found in walk_local((pair.local,), "x"):
                self._token.check()
                if isinstance(found, FoundFile) and hash(found.path) not in self._known:
                    if not found.path.endswith(PART_ENDING):
                        self._tracker.fail(found.path, _missing(found.path, "at the storage"), was_planned=False)
                elif isinstance(found, NotFound) and hash(found.path) not in self._known:
                    self._tracker.fail(found.path, found.error, was_planned=False)

    def _local(self, pair: Pair, parts: tuple[str, ...], *, is_folder: bool) -> str:
        """Where a download would have put it, or from where an upload would have taken it."""
        path = os.path.abspath(pair.local)
        last = len(parts) - 1
        below = parts if pair.source.is_folder and not pair.source.path else parts[1:]
        for index, part in enumerate(below, start=len(parts) - len(below)):
            mapped = os.path.join(path, self._names.name_for(path, part, is_folder=is_folder or index < last))
            exact = os.path.join(path, part)
            is_exact = mapped != exact and _is_one_name(part) and not os.path.lexists(mapped) and os.path.lexists(exact)
            path = exact if is_exact else mapped
        if self._job.finds_extra:
            self._known.add(hash(path))
        return path

    def _look_for_folder(self, folder: FoundFolder, local: str) -> None:
        existing = existing_at(local)
        if existing is None or not existing.is_folder:
            self._tracker.fail(folder.path, _missing(local, "here"), was_planned=False)


class _Comparing:
    """Compares files; any thread."""

    def __init__(
        self, storage: StorageBackend, context: JobContext, tuning: Tuning, tracker: Tracker, *, read_whole: bool
    ) -> None:
        self._storage = storage
        self._context = context
        self._tuning = tuning
        self._tracker = tracker
        self._read_whole = read_whole

    def compare(self, two: _Two, check: Callable[[], None]) -> None:
        """Compare one file and tell what came of it."""
        self._context.token.check()
        progress = self._tracker.start(os.path.basename(two.local), two.file.size)
        try:
            proof = self._prove(two, check)
        except (Cancelled, *WHOLE_JOB_ERRORS):
            raise
        except StorageError as error:
            progress.fail(two.file.path, error)
        else:
            progress.finish(proof)

    def _prove(self, two: _Two, check: Callable[[], None]) -> Proof:
        existing = existing_at(two.local)
        if existing is None or existing.is_folder:
            raise _missing(two.local, "here")
        if two.file.size is not None and existing.size != two.file.size and not os.path.islink(two.local):
            raise _differs(two.local, f"it has {existing.size:,} bytes here, but {two.file.size:,} at the storage")
        digests = self._try(partial(self._storage.digests, two.file.path, etag=two.file.etag))
        algorithm = best_of(digests)
        if algorithm:
            if (
                local_digest(two.local, algorithm, self._tuning.piece_bytes, self._check(check))
                != digests.values[algorithm]
            ):
                raise _differs(two.local, f"its {ALGORITHMS[algorithm]} is another one than at the storage")
            return Proof.verified(ALGORITHMS[algorithm])
        if not self._read_whole:
            return Proof.size_only(digests.reason)
        self._compare_bytes(two, self._check(check))
        return Proof.verified("each byte")

    def _compare_bytes(self, two: _Two, check: Callable[[], None]) -> None:
        with local_errors("read", two.local), open(two.local, "rb") as there:
            for piece in whole_content(self._storage, two.file, self._context, self._tuning, check):
                if there.read(len(piece)) != piece:
                    raise _differs(two.local, "its content is another one than at the storage")
            if there.read(1):
                raise _differs(two.local, "it is longer here than at the storage")

    def _check(self, check: Callable[[], None]) -> Callable[[], None]:
        def check_both() -> None:
            self._context.token.check()
            check()

        return check_both

    def _try(self, action: Callable[[], T]) -> T:
        return retrying(action, self._tuning.retry, self._context.token)


def local_digest(path: str, algorithm: str, piece_bytes: int, check: Callable[[], None]) -> str:
    """The checksum of a local file, in lower-case hex digits.

    Raises:
        StorageError: it cannot be read.
    """
    hasher = Hasher(algorithm)
    with local_errors("read", path), open(path, "rb", buffering=0) as file:
        while piece := file.read(piece_bytes):
            check()
            hasher.update(piece)
    return hasher.hexdigest()


def _is_one_name(part: str) -> bool:
    """Whether a name of a server stays in the folder it is looked for in."""
    is_plain = part not in ("", os.curdir, os.pardir) and "/" not in part and "\0" not in part
    return is_plain and os.path.basename(part) == part and not os.path.splitdrive(part)[0]


def _differs(path: str, how: str) -> CheckFailed:
    return CheckFailed(f"“{os.path.basename(path)}” differs: {how}.", path=path, hint="", retryable=False)


def _missing(path: str, where: str) -> FileNotFoundInStorageError:
    return FileNotFoundInStorageError(f"“{os.path.basename(path)}” is missing {where}.", path=path, hint="")
