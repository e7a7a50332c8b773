"""Lists a folder as a stream of columns, and answers the small questions about a connection."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from kegbrowser.backends.base import ListEntry, Page, StorageBackend, as_folder
from kegbrowser.backends.entries import Columns
from kegbrowser.backends.errors import StorageError
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.events import ConnectionReport, PageListed
from kegbrowser.transfer.jobs import CheckConnection, Describe, FindHome, ListFolder
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.tuning import Tuning

BATCH_ROWS = 1_000
BATCH_S = 0.05
PAGES_AHEAD = 4


def list_folder(job: ListFolder, context: JobContext, tuning: Tuning) -> None:
    """Carry out a `ListFolder` job: the first page goes out at once, later ones in batches of `BATCH_ROWS` or `BATCH_S`."""
    storage = context.open(job.spec)
    pages = _PagesAhead(_first_page_retried(storage, as_folder(job.path), context.token, tuning), context.token)
    held: list[Columns] = []
    rows = 0
    is_first, told_at = True, 0.0
    while True:
        wait_s = None if is_first or not rows else max(0.0, told_at + BATCH_S - time.monotonic())
        page = pages.next(wait_s)
        if page is not None:
            held.append(page.columns)
            rows += len(page)
        is_due = is_first or page is None or rows >= BATCH_ROWS or time.monotonic() - told_at >= BATCH_S
        if rows and is_due:
            context.emit(PageListed.joined(held))
            held, rows, is_first, told_at = [], 0, False, time.monotonic()
        if pages.is_finished:
            return


def find_home(job: FindHome, context: JobContext, tuning: Tuning) -> str:
    """Carry out a `FindHome` job."""
    storage = context.open(job.spec)
    return retrying(storage.home, tuning.retry, context.token)


def check_connection(job: CheckConnection, context: JobContext) -> ConnectionReport:
    """Carry out a `CheckConnection` job. Nothing is tried again: who asks wants to know now."""
    storage = context.open(job.spec)
    message = storage.check()
    return ConnectionReport(message, storage.home(), storage.capabilities)


def describe(job: Describe, context: JobContext, tuning: Tuning) -> ListEntry:
    """Carry out a `Describe` job."""
    storage = context.open(job.spec)
    return retrying(lambda: storage.stat(job.path), tuning.retry, context.token)


def _first_page_retried(storage: StorageBackend, path: str, token: CancelToken, tuning: Tuning) -> Iterator[Page]:
    """A listing that is begun again if it fails before anything of it was told."""
    attempts = Attempts(tuning.retry, token)
    while True:
        has_begun = False
        try:
            for page in storage.list_pages(path):
                has_begun = True
                yield page
        except StorageError as error:
            if has_begun:
                raise
            attempts.fail(error)
        else:
            return


class _PagesAhead:
    """Reads pages on a thread of its own, so that what is here can be told while the next one is on its way."""

    def __init__(self, pages: Iterator[Page], token: CancelToken) -> None:
        self._token = token
        self._queue: queue.Queue[Page | BaseException | None] = queue.Queue(PAGES_AHEAD)
        self.is_finished = False
        threading.Thread(target=self._read, args=(pages,), name="listing", daemon=True).start()

    def next(self, timeout_s: float | None) -> Page | None:
        """The next page; None if there is none in time, or no more. Raises what the listing raised."""
        try:
            item = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if item is None:
            self.is_finished = True
        elif isinstance(item, BaseException):
            raise item
        return item

    def _read(self, pages: Iterator[Page]) -> None:
        try:
            for page in pages:
                self._token.check()
                self._queue.put(page)
            self._queue.put(None)
        except BaseException as error:  # the outermost frame of the thread: the job's own thread raises it again
            self._queue.put(error)
