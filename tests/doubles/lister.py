"""A lister whose folders are filled by the test: nothing runs, and each signal comes when the test says so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

from kegbrowser.backends.base import EntryKind, ListEntry
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.services.jobs import JobRunner
from kegbrowser.services.lister import DirectoryLister
from kegbrowser.transfer.events import PageListed


def file(name: str, size: int | None = 1, minute: int | None = 0) -> ListEntry:
    """An entry of a file; `minute` None: its time is unknown."""
    moment = None if minute is None else datetime(2024, 1, 1, 0, minute, tzinfo=UTC)
    return ListEntry(name, moment, size, EntryKind.FILE)


def folder(name: str) -> ListEntry:
    return ListEntry(name, None, None, EntryKind.FOLDER)


class ScriptedLister(DirectoryLister):
    """Attributes:
    asked: each folder that was to be listed, in order; a join is not in it.
    """

    def __init__(self) -> None:
        super().__init__(cast("JobRunner", None), lambda _connection_id: None)  # type: ignore[arg-type,return-value]
        self.asked: list[RemotePath] = []
        self.running: dict[RemotePath, list[PageListed]] = {}
        self.released: list[RemotePath] = []

    def list_folder(self, folder: RemotePath, interested: object, *, anew: bool = False) -> tuple[PageListed, ...]:
        if folder in self.running and not anew:
            return tuple(self.running[folder])
        self.asked.append(folder)
        self.running[folder] = []
        self.listing_started.emit(folder)
        return ()

    def is_listing(self, folder: RemotePath) -> bool:
        return folder in self.running

    def release(self, folder: RemotePath, interested: object) -> None:
        self.released.append(folder)
        self.cancel(folder)

    def cancel(self, folder: RemotePath) -> None:
        if self.running.pop(folder, None) is not None:
            self.listing_cancelled.emit(folder)

    # -- what the test says ------------------------------------------------------------------------------------------

    def page(self, folder: RemotePath, entries: Iterable[ListEntry]) -> None:
        page = PageListed.from_entries(tuple(entries))
        self.running[folder].append(page)
        self.page_ready.emit(folder, page)

    def finish(self, folder: RemotePath, entries: Iterable[ListEntry] = ()) -> None:
        self.page(folder, entries)
        del self.running[folder]
        self.listing_finished.emit(folder)

    def fail(self, folder: RemotePath, error: StorageError) -> None:
        del self.running[folder]
        self.listing_failed.emit(folder, error)
