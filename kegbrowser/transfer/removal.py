"""Deletes: counts, asks, and then deletes exactly what was counted."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from typing import IO

from kegbrowser.backends.base import StorageBackend, split_path
from kegbrowser.backends.errors import Cancelled, NotSupported, StorageError
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.counting import Counter, Item, walk_sources
from kegbrowser.transfer.emptying import deepest_first, holds_anything, is_container, remove_folder
from kegbrowser.transfer.events import Counted, JobReport
from kegbrowser.transfer.jobs import Delete, Source
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, NotFound
from kegbrowser.transfer.progress import Tracker
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from kegbrowser.transfer.retry import Attempts
from kegbrowser.transfer.tuning import Tuning

NAMES_IN_QUESTION = 5
BATCH_FILES = 1_000
BATCH_THREADS = 4
MEMORY_BYTES = 16 * 1024 * 1024
"""A list of what will be deleted that is longer than this goes to a nameless file on disk."""

_RECORD = struct.Struct("<IQ")


def delete(job: Delete, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `Delete` job.

    Raises:
        Cancelled: the answer was no.
        NotSupported: the root of a storage was to be deleted.
    """
    storage = context.open(job.spec)
    for source in job.sources:
        if source.is_folder and not source.path:
            raise NotSupported("The top of a storage cannot be deleted.", path="", hint="Choose what is in it.")
    with closing(_FrozenList()) as frozen:
        counted, missing = _count(job.sources, storage, frozen, context, tuning)
        if not job.confirmed:
            names = tuple(split_path(source.path)[1] for source in job.sources[:NAMES_IN_QUESTION])
            question = DeleteQuestion(names, len(job.sources), counted, storage.capabilities.versions)
            answer = context.ask(question)
            if not (isinstance(answer, DeleteAnswer) and answer.confirmed):
                raise Cancelled
        with Tracker(context.emit) as tracker:
            for item in missing:
                tracker.fail(item.path, item.error, was_planned=False)
            _Deletion(storage, frozen, tracker, context, tuning).run()
            return tracker.report()


def _count(
    sources: tuple[Source, ...], storage: StorageBackend, frozen: _FrozenList, context: JobContext, tuning: Tuning
) -> tuple[Counted, list[NotFound]]:
    counter = Counter(context.emit)
    missing: list[NotFound] = []
    for item in walk_sources(storage, sources, tuning.retry, context.token):
        if not isinstance(item, NotFound):
            counter.add(item)
            frozen.add(item)
        elif len(sources) == 1:
            raise item.error
        else:
            missing.append(item)
    return counter.finish(), missing


class _FrozenList:
    """What was counted, in order: paths of files with their sizes, and of folders. Files go to disk if they are many."""

    def __init__(self) -> None:
        self._files: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  # closed by `close`
        self.folders: list[str] = []
        self.file_count = 0
        self.byte_count = 0

    def add(self, item: Item) -> None:
        if item.is_folder:
            self.folders.append(item.path)
            return
        path = item.path.encode("utf-8", "surrogatepass")
        self._files.write(_RECORD.pack(len(path), item.size) + path)
        self.file_count += 1
        self.byte_count += item.size

    def batches(self) -> Iterator[dict[str, int]]:
        """Files from the first, `BATCH_FILES` at a time: path and size."""
        self._files.seek(0)
        batch: dict[str, int] = {}
        while head := self._files.read(_RECORD.size):
            length, size = _RECORD.unpack(head)
            batch[self._files.read(length).decode("utf-8", "surrogatepass")] = size
            if len(batch) == BATCH_FILES:
                yield batch
                batch = {}
        if batch:
            yield batch

    def close(self) -> None:
        self._files.close()


class _Deletion:
    """Deletes a frozen list: all files first, then the folders, deepest first."""

    def __init__(
        self, storage: StorageBackend, frozen: _FrozenList, tracker: Tracker, context: JobContext, tuning: Tuning
    ) -> None:
        self._storage = storage
        self._frozen = frozen
        self._tracker = tracker
        self._token = context.token
        self._tuning = tuning

    def run(self) -> None:
        self._tracker.plan_many(self._frozen.file_count, self._frozen.byte_count)
        self._tracker.finish_plan()
        batches = -(-self._frozen.file_count // BATCH_FILES)
        if batches:
            in_parallel(self._frozen.batches(), self._delete_batch, min(BATCH_THREADS, batches))
        for _depth, level in groupby(deepest_first(self._frozen.folders), key=lambda folder: folder.count("/")):
            folders = list(level)
            in_parallel(folders, self._delete_folder, min(BATCH_THREADS, len(folders)))

    def _delete_batch(self, batch: dict[str, int], check: Callable[[], None]) -> None:
        """Delete some files; what has no answer yet when the connection breaks is asked for again."""
        attempts = Attempts(self._tuning.retry, self._token)
        while batch:
            self._token.check()
            check()
            self._tracker.start(split_path(next(iter(batch)))[1], 0)
            lost: StorageError | None = None
            try:
                for result in self._storage.delete_files(list(batch)):
                    if result.error is not None and result.error.retryable:
                        lost = result.error
                        continue
                    size = batch.pop(result.path)
                    if isinstance(result.error, WHOLE_JOB_ERRORS):
                        raise result.error
                    if result.error is not None:
                        self._tracker.fail(result.path, result.error)
                    else:
                        self._tracker.start(split_path(result.path)[1], size).finish()
                        attempts.succeed()
            except WHOLE_JOB_ERRORS:
                raise
            except StorageError as error:
                lost = error
            if lost is None:
                return
            try:
                attempts.fail(lost)
            except StorageError as error:
                for path in batch:
                    self._tracker.fail(path, error)
                return

    def _delete_folder(self, folder: str, check: Callable[[], None]) -> None:
        self._token.check()
        check()
        retry = self._tuning.retry
        try:
            # Some servers delete a bucket with all that is in it.
            if is_container(self._storage, folder) and holds_anything(self._storage, folder, retry, self._token):
                return
            remove_folder(self._storage, folder, retry, self._token)
        except WHOLE_JOB_ERRORS:
            raise
        except StorageError as error:
            self._tracker.fail(folder, error, was_planned=False)
