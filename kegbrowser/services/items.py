"""The files of a transfer, read from the journal a page at a time, on a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from kegbrowser.backends.errors import StorageError
from kegbrowser.transfer.journal import Journal
from kegbrowser.transfer.records import ItemState

log = logging.getLogger(__name__)

CLOSE_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A page that somebody looks at; the newest request for the same one counts."""

    transfer_id: int
    journal_id: int
    first: int
    count: int
    only_failed: bool


class ItemsReader(QObject):
    """GUI thread only; what it reads, it reads on a thread of its own.

    Args:
        path: the journal's file.
    """

    items_ready = Signal(object, object, bool, object)  # transfer id, first, only failed, tuple[ItemRecord, ...]
    counts_ready = Signal(object, object)  # transfer id, dict[ItemState, int]

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._lock = threading.Lock()
        self._wanted: dict[tuple[int, int, bool], _Wanted] = {}
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def request(self, transfer_id: int, journal_id: int, first: int, count: int, *, only_failed: bool = False) -> None:
        """Read so many items from the `first`-th on, of all or of those that failed; `items_ready` and `counts_ready` follow."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="items", daemon=True)
            self._thread.start()
        wanted = _Wanted(transfer_id, journal_id, first, count, only_failed)
        with self._lock:
            self._wanted[(transfer_id, first, only_failed)] = wanted
        self._wake.put(True)

    def close(self) -> None:
        """End the thread; blocks for some milliseconds."""
        if self._thread is not None:
            self._wake.put(False)
            self._thread.join(CLOSE_GRACE_S)

    def _work(self) -> None:
        try:
            journal = Journal(self._path)
        except StorageError as error:
            log.warning("The files of transfers cannot be shown: %s", error)
            return
        with journal:
            while self._wake.get():
                with self._lock:
                    wanted = list(self._wanted.values())
                    self._wanted.clear()
                for one in wanted:
                    self._read(journal, one)

    def _read(self, journal: Journal, wanted: _Wanted) -> None:
        states = (ItemState.FAILED,) if wanted.only_failed else None
        try:
            items = tuple(journal.items(wanted.journal_id, wanted.first, wanted.count, states)) if wanted.count else ()
            counts = journal.item_counts(wanted.journal_id)
        except StorageError as error:
            log.warning("The files of a transfer cannot be read: %s", error)
            return
        if wanted.count:
            self.items_ready.emit(wanted.transfer_id, wanted.first, wanted.only_failed, items)
        self.counts_ready.emit(wanted.transfer_id, counts)
