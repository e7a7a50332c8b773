"""Counts what lies below some sources, and says so while it counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from kegbrowser.backends.base import EntryKind, ListEntry, StorageBackend, as_folder
from kegbrowser.backends.errors import StorageError
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.events import Counted
from kegbrowser.transfer.jobs import Count, Source
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, NotFound, describe_files, list_all
from kegbrowser.transfer.progress import SNAPSHOT_S
from kegbrowser.transfer.retry import RetryPolicy, retrying
from kegbrowser.transfer.tuning import Tuning


def count(job: Count, context: JobContext, tuning: Tuning) -> Counted:
    """Carry out a `Count` job."""
    storage = context.open(job.spec)
    counter = Counter(context.emit)
    for item in walk_sources(storage, job.sources, tuning.retry, context.token):
        if isinstance(item, NotFound):
            raise item.error
        counter.add(item)
    return counter.finish()


@dataclass(frozen=True, slots=True)
class Item:
    """One thing below a source: a folder, or a file, or a link to either, which counts as a file."""

    path: str
    is_folder: bool
    size: int
    modified: datetime | None


def walk_sources(
    storage: StorageBackend, sources: tuple[Source, ...], policy: RetryPolicy, token: CancelToken
) -> Iterator[Item | NotFound]:
    """All sources and all below them."""
    for path, entry in describe_files(storage, sources, policy, token):
        yield NotFound(path, entry) if isinstance(entry, StorageError) else _item(entry, path)
    for source in sources:
        if source.is_folder:
            try:
                yield from walk_everything(storage, source, policy, token)
            except WHOLE_JOB_ERRORS:
                raise
            except StorageError as error:
                yield NotFound(source.path, error)


def walk_everything(storage: StorageBackend, source: Source, policy: RetryPolicy, token: CancelToken) -> Iterator[Item]:
    """A folder and all below it, files and folders; links are not followed."""
    path = as_folder(source.path)
    if storage.capabilities.real_folders and path:
        entry = retrying(lambda: storage.stat(path), policy, token)
        if entry.link_target:
            yield Item(path[:-1], is_folder=False, size=0, modified=entry.last_modified)
            return
    if path:
        yield Item(path, is_folder=True, size=0, modified=None)
    for entry in list_all(storage, path, policy, token):
        yield _item(entry, entry.path_in(path))


class Counter:
    """Adds up; emits at most ten times a second."""

    def __init__(self, emit: Callable[[Counted], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._clock = clock
        self._told_at = float("-inf")
        self._files = 0
        self._folders = 0
        self._bytes = 0
        self._newest: datetime | None = None

    def add(self, item: Item) -> None:
        if item.is_folder:
            self._folders += 1
        else:
            self._files += 1
            self._bytes += item.size
            if item.modified is not None and (self._newest is None or item.modified > self._newest):
                self._newest = item.modified
        if self._clock() - self._told_at >= SNAPSHOT_S:
            self._told_at = self._clock()
            self._emit(self.counted)

    @property
    def counted(self) -> Counted:
        return Counted(self._files, self._folders, self._bytes, self._newest)

    def finish(self) -> Counted:
        """The sum, which is told as well."""
        self._emit(self.counted)
        return self.counted


def _item(entry: ListEntry, path: str) -> Item:
    if entry.is_folder and entry.link_target:
        return Item(path.removesuffix("/"), is_folder=False, size=0, modified=entry.last_modified)
    if entry.is_folder:
        return Item(path, is_folder=True, size=0, modified=None)
    size = 0 if entry.kind is EntryKind.LINK else entry.size or 0
    return Item(path, is_folder=False, size=size, modified=entry.last_modified)
