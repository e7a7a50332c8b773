"""Makes manifests of folders, local and remote, and compares folders with them."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from kegbrowser.backends.base import EntryKind, as_folder, split_path
from kegbrowser.backends.errors import Cancelled, CheckFailed, FileNotFoundInStorageError, InvalidName, StorageError
from kegbrowser.backends.proofs import ALGORITHMS, Proof
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.digesting import Hasher
from kegbrowser.transfer.events import JobReport
from kegbrowser.transfer.jobs import CheckManifest, MakeManifest, Source
from kegbrowser.transfer.local_errors import local_errors
from kegbrowser.transfer.local_walk import walk_local
from kegbrowser.transfer.manifest_files import ManifestRow, ManifestWriter, read_manifest
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.part_file import PART_ENDING
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, Found, FoundFile, NotFound, walk_remote
from kegbrowser.transfer.progress import Tracker
from kegbrowser.transfer.retry import retrying
from kegbrowser.transfer.tuning import Tuning
from kegbrowser.transfer.verifying import local_digest, whole_content

AT_ONCE = 4
AHEAD = 64
BY = ALGORITHMS["sha256"]


def make_manifest(job: MakeManifest, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `MakeManifest` job."""
    side = _side(job, context, tuning)
    target = os.path.abspath(job.target)
    with Tracker(context.emit) as tracker, ManifestWriter(target, job.format) as writer:

        def wanted() -> Iterator[FoundFile]:
            for found in side.walk():
                if isinstance(found, FoundFile) and not side.is_passed_over(found.path, target):
                    tracker.plan(found.size)
                    yield found
                elif isinstance(found, NotFound):
                    tracker.fail(found.path, found.error, was_planned=False)
            tracker.finish_plan()

        for file, digits in _in_order(wanted(), partial(_hash, side, tracker)):
            if digits:
                state = "read" if side.is_read(file) else "as the storage knows it"
                writer.add(ManifestRow(side.name(file.parts), file.size, file.modified, digits, BY, state))
        return tracker.report()


def check_manifest(job: CheckManifest, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `CheckManifest` job. Memory: 100 bytes for each file, with `finds_extra`."""
    side = _side(job, context, tuning)
    manifest = os.path.abspath(job.manifest)
    known: set[int] = set()
    with Tracker(context.emit) as tracker:

        def rows() -> Iterator[ManifestRow]:
            for row in read_manifest(manifest):
                if isinstance(row, ManifestRow):
                    tracker.plan(row.size)
                    if job.finds_extra:
                        known.add(hash(row.path))
                    yield row
                else:
                    tracker.fail(manifest, row, was_planned=False)

        def compare(row: ManifestRow, check: Callable[[], None]) -> None:
            progress = tracker.start(row.path, row.size)
            try:
                proof, size = _compare(side, row, check)
            except (Cancelled, *WHOLE_JOB_ERRORS):
                raise
            except StorageError as error:
                progress.fail(row.path, error)
            else:
                progress.restart(size)
                progress.finish(proof)

        in_parallel(rows(), compare, AT_ONCE)
        if job.finds_extra:
            for found in side.walk():
                if not isinstance(found, FoundFile) or side.is_passed_over(found.path, manifest):
                    continue
                if hash(side.name(found.parts)) not in known:
                    name = found.parts[-1] if found.parts else found.path
                    error = FileNotFoundInStorageError(f"“{name}” is not in the manifest.", path=found.path, hint="")
                    tracker.fail(found.path, error, was_planned=False)
        tracker.finish_plan()
        return tracker.report()


class _Side:
    """The local disk."""

    def __init__(self, folder: str, context: JobContext, tuning: Tuning) -> None:
        self._folder = folder
        self._context = context
        self._tuning = tuning

    def check(self) -> None:
        """Raise `Cancelled` if the job is."""
        self._context.token.check()

    def walk(self) -> Iterator[Found]:
        """All below the folder; the first of the parts stands for the folder itself."""
        for found in walk_local((self._folder,), "x"):
            self._context.token.check()
            yield found

    def name(self, parts: tuple[str, ...]) -> str:
        """How a file is called in a manifest."""
        return "/".join(parts[1:])

    def is_passed_over(self, path: str, manifest: str) -> bool:
        """Whether a file is the manifest itself, or an unfinished download."""
        return path == manifest or path.endswith(PART_ENDING)

    def is_read(self, file: FoundFile) -> bool:
        """Whether the sum is of what was read here."""
        return True

    def find(self, name: str) -> FoundFile:
        """The file that a manifest calls so. Raises StorageError."""
        parts = [part for part in name.split("/") if part != "."]
        is_odd = os.path.isabs(name) or (sys.platform == "win32" and any(letter in name for letter in "\\:"))
        if is_odd or any(part in ("", "..") for part in parts):
            raise InvalidName(f"The manifest names “{name}”, which is not in the folder.", path=name)
        path = os.path.join(os.path.abspath(self._folder), *parts)
        with local_errors("read", path):
            try:
                found = os.stat(path)
            except FileNotFoundError as exc:
                raise _missing(name) from exc
        return FoundFile(path, ("x", *parts), found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def sha256(self, file: FoundFile, check: Callable[[], None]) -> str:
        return local_digest(file.path, "sha256", self._tuning.piece_bytes, check)


class _RemoteSide(_Side):
    """A storage."""

    def __init__(self, job: MakeManifest | CheckManifest, context: JobContext, tuning: Tuning) -> None:
        super().__init__(as_folder(job.folder), context, tuning)
        assert job.spec is not None
        self._storage = context.open(job.spec)
        self._known_by_storage: set[int] = set()

    def walk(self) -> Iterator[Found]:
        source = Source(self._folder, is_folder=True)
        for found in walk_remote(self._storage, (source,), "x", self._tuning.retry, self._context.token):
            self._context.token.check()
            yield found

    def name(self, parts: tuple[str, ...]) -> str:
        return "/".join(parts[1:] if self._folder else parts)

    def is_passed_over(self, path: str, manifest: str) -> bool:
        return False

    def is_read(self, file: FoundFile) -> bool:
        return hash(file.path) not in self._known_by_storage

    def find(self, name: str) -> FoundFile:
        path = self._folder + name
        try:
            entry = retrying(lambda: self._storage.stat(path), self._tuning.retry, self._context.token)
        except FileNotFoundInStorageError as exc:
            raise _missing(name) from exc
        size = None if entry.kind is EntryKind.LINK else entry.size
        return FoundFile(path, (split_path(path)[1],), size, entry.last_modified, entry.etag)

    def sha256(self, file: FoundFile, check: Callable[[], None]) -> str:
        digests = retrying(
            lambda: self._storage.digests(file.path, etag=file.etag), self._tuning.retry, self._context.token
        )
        if known := digests.values.get("sha256"):
            self._known_by_storage.add(hash(file.path))
            return known
        hasher = Hasher("sha256")
        for piece in whole_content(self._storage, file, self._context, self._tuning, check):
            hasher.update(piece)
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class _Waiting:
    file: FoundFile
    digits: Future[str]


def _side(job: MakeManifest | CheckManifest, context: JobContext, tuning: Tuning) -> _Side:
    return _Side(job.folder, context, tuning) if job.spec is None else _RemoteSide(job, context, tuning)


def _hash(side: _Side, tracker: Tracker, file: FoundFile) -> str:
    """The sum of a file; "" if it failed, which the tracker knows."""
    progress = tracker.start(file.parts[-1] if file.parts else file.path, file.size)
    try:
        digits = side.sha256(file, side.check)
    except (Cancelled, *WHOLE_JOB_ERRORS):
        raise
    except StorageError as error:
        progress.fail(file.path, error)
        return ""
    progress.finish()
    return digits


def _in_order(files: Iterator[FoundFile], work: Callable[[FoundFile], str]) -> Iterator[tuple[FoundFile, str]]:
    """Do the work on several threads, and give what comes out in the order in which it went in."""
    waiting: deque[_Waiting] = deque()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="checksum")
    try:
        for file in files:
            waiting.append(_Waiting(file, pool.submit(work, file)))
            if len(waiting) >= AHEAD:
                first = waiting.popleft()
                yield first.file, first.digits.result()
        while waiting:
            first = waiting.popleft()
            yield first.file, first.digits.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _compare(side: _Side, row: ManifestRow, check: Callable[[], None]) -> tuple[Proof, int | None]:
    """How a file was found to be what the manifest says, and its size. Raises StorageError."""

    def check_both() -> None:
        side.check()
        check()

    check_both()
    file = side.find(row.path)
    if row.size is not None and file.size is not None and row.size != file.size:
        raise _differs(row.path, f"it has {file.size:,} bytes, but {row.size:,} in the manifest")
    if not row.sha256:
        return Proof.size_only("the manifest has no checksum of it"), file.size
    if side.sha256(file, check_both) != row.sha256:
        raise _differs(row.path, f"its {BY} is another one than in the manifest")
    return Proof.verified(BY), file.size


def _differs(name: str, how: str) -> CheckFailed:
    return CheckFailed(f"“{name.rpartition('/')[2]}” differs: {how}.", path=name, hint="", retryable=False)


def _missing(name: str) -> FileNotFoundInStorageError:
    return FileNotFoundInStorageError(f"“{name.rpartition('/')[2]}” is missing.", path=name, hint="")
