"""Takes the items of removed jobs out of the journal, a few at a time, so that no running job waits for it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from kegbrowser.backends.errors import Cancelled
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.journal.database import connect, transaction
from kegbrowser.transfer.journal.items import id_range
from kegbrowser.transfer.journal.locks import FileLock, job_path

log = logging.getLogger(__name__)

REMOVE_ITEMS = 2000
"""Items that are removed in one transaction: some 20 ms, in which no job can write."""

REMOVE_PAUSE_S = 0.02
"""Between two such transactions the jobs have their turn: SQLite gives none by itself."""

SHRINK_PAGES = 8192
"""32 MiB."""


class Remover:
    """A thread that is there while there is something to remove. Any thread."""

    def __init__(self, path: Path, locks: Path) -> None:
        self._path = path
        self._locks = locks
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_wanted = False
        self._closing = CancelToken()

    def start(self) -> None:
        """Begin, if it is not at it; what is left of an earlier time is removed as well."""
        with self._lock:
            self._is_wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="journal remover", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Wait until all is removed."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stop; the next one goes on."""
        self._closing.cancel()
        self.wait()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._is_wanted or self._closing.is_cancelled:
                    self._thread = None
                    return
                self._is_wanted = False
            self._remove_all()

    def _remove_all(self) -> None:
        try:
            connection = connect(self._path)
            try:
                for (job_id,) in connection.execute("SELECT job_id FROM jobs WHERE is_removed").fetchall():
                    self._remove(connection, job_id)
                _shrink(connection)
            finally:
                connection.close()
        except Cancelled:
            return
        except (sqlite3.Error, OSError) as exc:
            log.warning("Removed transfers are still in the journal: %s", exc)  # the next time tries again

    def _remove(self, connection: sqlite3.Connection, job_id: int) -> None:
        lock = FileLock.try_lock(job_path(self._locks, job_id))
        if lock is None:
            return  # its helper is still at it; the next time takes this along
        try:
            while not _remove_slice(connection, job_id, REMOVE_ITEMS):
                self._closing.wait(REMOVE_PAUSE_S)
        finally:
            lock.release()


def _remove_slice(connection: sqlite3.Connection, job_id: int, count: int) -> bool:
    """Remove some items of a removed job, the newest first; when none is left the job itself. Whether that was all."""
    low, high = id_range(job_id)
    with transaction(connection):
        select = "SELECT min(id) FROM (SELECT id FROM items WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?)"
        (least,) = connection.execute(select, (low, high, count)).fetchone()
        if least is not None:
            connection.execute("DELETE FROM items WHERE id BETWEEN ? AND ?", (least, high))
            return False
        connection.execute("DELETE FROM jobs WHERE job_id = ? AND is_removed", (job_id,))
        return True


def _shrink(connection: sqlite3.Connection) -> None:
    """Give free space back to the disk if there is much of it and little else: it is the rest that is copied."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    # incremental_vacuum took 100 s for 20 MB: it looks through the list of free pages for each one it moves.
    if free >= SHRINK_PAGES and pages - free <= SHRINK_PAGES:
        connection.execute("VACUUM")
