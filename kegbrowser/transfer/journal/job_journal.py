"""One job's memory while a helper runs it: what is said is gathered and written by a thread of its own, many notes at once.

A note costs its caller a few microseconds and is on disk within 100 ms; `begin` and `flush` wait until all that was said is.
A batch is one transaction, so what a crash leaves is always what was true at one moment, and never less than was promised.
Notes of one item within a batch are written as one. Each statement takes thousands of rows: sqlite3 gives up the
interpreter's lock at every step of a statement, and with a row a step a busy thread beside it would take it each time.
Memory: at most two batches of `QUEUE_ITEMS` notes; who says more waits for the disk.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from kegbrowser.backends.uploads import Part
from kegbrowser.transfer.journal.batch import Batch, BatchWriter
from kegbrowser.transfer.journal.database import connect, journal_error, journal_errors
from kegbrowser.transfer.journal.items import ItemReader
from kegbrowser.transfer.journal.locks import FileLock
from kegbrowser.transfer.journal.seen import Seen
from kegbrowser.transfer.records import ItemEnd, ItemRecord, JournalFailed, SourceMark

log = logging.getLogger(__name__)

GROUP_S = 0.05
"""A note waits this long for others. With the time of the write itself it is on disk within 100 ms."""

BATCH_ITEMS = 4096
"""So many are written without waiting for more; it takes some 40 ms, in which no other job can write."""

QUEUE_ITEMS = 8192

RETRY_WAITS_S = (0.1, 0.3, 0.6, 1.0)
"""A write that fails is tried again after these, before the job is told."""


class SqliteJobJournal:
    """A `JobJournal` in a file. Any thread. `Journal.open_job` makes it; whoever asked for it closes it.

    `plan`, `begin` and `flush` raise a JournalFailed if the disk refuses what was said so far. It is kept and tried again at the
    next of them: nothing is lost if the disk takes it then. `end` and `add_part` never raise.
    """

    def __init__(self, path: Path, job_id: int, lock: FileLock) -> None:
        self._path = path
        self._job_id = job_id
        self._file_lock = lock
        self._reading = threading.RLock()
        self._changed = threading.Condition(threading.Lock())
        self._next = Batch()
        self._writing = Batch()
        self._said = 0
        self._written = 0
        self._attempts = 0
        self._failed_attempt = 0
        self._error: JournalFailed | None = None
        self._is_urgent = False
        self._is_closing = False
        self._seen = Seen()
        self._found: dict[str, ItemRecord | None] = {}
        with journal_errors(path):
            self._connection = connect(path)
            self._reader = ItemReader(self._connection)
            self._count = self._reader.count(job_id)
        self.is_resumed = self._count > 0
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    def find(self, source: str) -> ItemRecord | None:
        """What an earlier run, or this one, knew of a source."""
        with self._reading:
            record = self._look_up(source)
            if len(self._found) >= QUEUE_ITEMS:
                self._found.clear()
            self._found[source] = record
            return record

    def plan(self, source: str, place: str, mark: SourceMark, *, overwrite: bool) -> int:
        """Note a file that is to be moved and give it its number.

        Raises:
            JournalFailed: the disk does not take what was said so far.
        """
        with self._reading:
            known = self._number_of(source)
            with self._changed:
                self._wait_for_room()
                self._raise_error()
                item = self._count if known is None else known
                if known is None:
                    self._count += 1
                self._next.plan(item, source, place, mark, overwrite=overwrite, is_new=known is None)
                self._note()
                return item

    def begin(self, item: int, token: str, place: str) -> None:
        """Note that something unfinished is, or is about to be, at the target; on disk when it returns.

        Raises:
            JournalFailed: the disk does not take it.
        """
        with self._changed:
            self._next.begin(item, token, place)
            self._note()
            self._wait_written()

    def add_part(self, item: int, part: Part) -> None:
        """Note a part that was moved whole."""
        with self._changed:
            self._wait_for_room()
            self._next.add_part(item, part)
            self._note()

    def parts(self, item: int) -> Mapping[int, Part]:
        """The parts that are noted of an item's newest `begin`."""
        with self._reading:
            self._settle(item)
            with journal_errors(self._path):
                return self._reader.parts(self._job_id, item)

    def end(self, item: int, end: ItemEnd) -> None:
        """Note how an item ended."""
        with self._changed:
            self._wait_for_room()
            self._next.end(item, end)
            self._note()

    def flush(self) -> None:
        """Wait until all is on disk.

        Raises:
            JournalFailed: the disk does not take it.
        """
        with self._changed:
            self._wait_written()

    def close(self) -> None:
        """Write what is left and let the job go. Never raises; the second call does nothing."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            log.error("The last notes of job %s could not be written: %s", self._job_id, self._error)
        with self._reading:
            self._connection.close()
        self._file_lock.release()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _number_of(self, source: str) -> int | None:
        """The number that a source has already."""
        may_be_of_this_run = self._seen.add(source)
        if source in self._found:
            record = self._found.pop(source)
        elif self.is_resumed or may_be_of_this_run:
            record = self._look_up(source)
        else:
            return None
        return None if record is None else record.item

    def _look_up(self, source: str) -> ItemRecord | None:
        with self._changed:
            if self._next.has_source(source) or self._writing.has_source(source):
                self._wait_written()
        with journal_errors(self._path):
            record = self._reader.find(self._job_id, source)
            if record is not None and self._settle(record.item):
                record = self._reader.find(self._job_id, source)
        return record

    def _settle(self, item: int) -> bool:
        """Have what was said of an item be in the file; whether there was anything."""
        with self._changed:
            if item not in self._next.notes and item not in self._writing.notes:
                return False
            self._wait_written()
            return True

    # -- speaking to the writer; with `_changed` held ------------------------------------------------------------------------

    def _note(self) -> None:
        self._said += 1
        if self._next.calls == 1 or self._next.count >= BATCH_ITEMS:
            self._changed.notify_all()

    def _wait_for_room(self) -> None:
        while self._next.count >= QUEUE_ITEMS and self._error is None and not self._is_closing:
            self._changed.wait()

    def _wait_written(self) -> None:
        """Wait until all that was said so far is on disk, or a later attempt to write it has failed."""
        said, attempts = self._said, self._attempts
        while self._written < said:
            if self._failed_attempt > attempts or self._is_closing:
                self._raise_error()
            if not self._thread.is_alive():
                raise JournalFailed("The list of transfers is closed.")
            self._is_urgent = True
            self._changed.notify_all()
            self._changed.wait()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    # -- the writer's thread -------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        writer = BatchWriter(self._path, self._job_id)
        try:
            while self._take_batch():
                error = self._write_with_patience(writer)
                with self._changed:
                    if error is None:
                        self._written += self._writing.calls
                        self._writing = Batch()
                    self._settle_error(error)
                    if error is not None and self._is_closing:
                        return
        except Exception as exc:
            # The outermost frame of a worker: a fault of ours fails the job, and does not leave it waiting for ever.
            log.exception("The journal's thread failed by a fault of the program")
            kind = type(exc).__name__
            with self._changed:
                self._settle_error(JournalFailed(f"The list of transfers failed by a fault in the program ({kind})."))
        finally:
            with self._changed:
                self._is_closing = True
                self._changed.notify_all()
            writer.close()

    def _settle_error(self, error: JournalFailed | None) -> None:
        self._error = error
        if error is not None:
            self._failed_attempt = self._attempts
            log.warning("Job %s: %s", self._job_id, error)
        self._changed.notify_all()

    def _take_batch(self) -> bool:
        """Wait until there is something to write; False when all is written and nothing more will come."""
        with self._changed:
            while self._error is not None and not self._is_urgent and not self._is_closing:
                self._changed.wait()
            if not self._writing.calls:
                while not self._next.calls and not self._is_closing:
                    self._is_urgent = False
                    self._changed.wait()
                due = time.monotonic() + GROUP_S
                while not (self._is_urgent or self._is_closing or self._next.count >= BATCH_ITEMS):
                    left_s = due - time.monotonic()
                    if left_s <= 0:
                        break
                    self._changed.wait(left_s)
                self._writing, self._next = self._next, Batch()
            self._is_urgent = False
            self._attempts += 1
            self._changed.notify_all()
            return self._writing.calls > 0

    def _write_with_patience(self, writer: BatchWriter) -> JournalFailed | None:
        """Write the batch; a refusal is believed at once if it was told before."""
        waits = iter(RETRY_WAITS_S if self._error is None else ())
        while True:
            try:
                writer.write(self._writing)
            except sqlite3.Error as exc:
                wait_s = next(waits, None)
                if wait_s is None or self._is_closing:
                    return journal_error(exc, self._path)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, wait_s)
            else:
                return None
