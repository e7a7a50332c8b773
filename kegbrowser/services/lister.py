"""Lists folders in the background and tells what comes, folder by folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from PySide6.QtCore import QObject, Qt, Signal, Slot

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.services.jobs import JobRunner, JobThread, Lane
from kegbrowser.services.making import JobMaker, SpecSource
from kegbrowser.transfer.events import Event, PageListed
from kegbrowser.transfer.jobs import ListFolder


@dataclass(frozen=True, slots=True)
class _Key:
    """Tells two listings of the same folder apart, so that the tail of a replaced one is not taken for the new one's."""

    folder: RemotePath
    number: int


@dataclass(slots=True)
class _Listing:
    key: _Key
    job: JobThread
    interested: set[object]
    pages: list[PageListed] = field(default_factory=list)


class DirectoryLister(QObject):
    """One listing for each folder at a time, shared by all who are interested in it. GUI thread only."""

    listing_started = Signal(object)  # RemotePath
    page_ready = Signal(object, object)  # RemotePath, PageListed
    listing_finished = Signal(object)  # RemotePath
    listing_failed = Signal(object, object)  # RemotePath, StorageError
    listing_cancelled = Signal(object)  # RemotePath

    def __init__(self, runner: JobRunner, spec_source: SpecSource, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = runner
        self._spec_source = spec_source
        self._listings: dict[RemotePath, _Listing] = {}
        self._numbers = count()

    def list_folder(self, folder: RemotePath, interested: object, *, anew: bool = False) -> tuple[PageListed, ...]:
        """Start listing a folder, or join the listing that runs.

        Args:
            folder: what to list.
            interested: who wants it; `release` takes it back.
            anew: do not join: what runs may have missed a change.

        Returns:
            The pages that a joined listing has already told; empty for a new one, which is announced by `listing_started`.
        """
        running = self._listings.get(folder)
        if running is not None and not anew:
            running.interested.add(interested)
            return tuple(running.pages)
        wanted = {interested}
        if running is not None:
            wanted |= running.interested
            del self._listings[folder]
            self._runner.cancel(running.job)
        key = _Key(folder, next(self._numbers))
        make_job = JobMaker(self._spec_source, folder.connection_id, lambda spec: ListFolder(spec, folder.path))
        job = self._runner.new_job(key, make_job, (folder.connection_id,))
        queued = Qt.ConnectionType.QueuedConnection
        job.event_received.connect(self._on_event_received, queued)
        job.job_finished.connect(self._on_job_finished, queued)
        job.job_failed.connect(self._on_job_failed, queued)
        self._listings[folder] = _Listing(key, job, wanted)
        self.listing_started.emit(folder)
        self._runner.submit(job, Lane.BROWSE)
        return ()

    def is_listing(self, folder: RemotePath) -> bool:
        return folder in self._listings

    def release(self, folder: RemotePath, interested: object) -> None:
        """Lose interest; the listing is cancelled when nobody is left."""
        running = self._listings.get(folder)
        if running is None:
            return
        running.interested.discard(interested)
        if not running.interested:
            self.cancel(folder)

    def cancel(self, folder: RemotePath) -> None:
        """Stop a listing for everybody; `listing_cancelled` comes at once."""
        running = self._listings.pop(folder, None)
        if running is not None:
            self._runner.cancel(running.job)
            self.listing_cancelled.emit(folder)

    @Slot(object, object)
    def _on_event_received(self, key: _Key, event: Event) -> None:
        running = self._listings.get(key.folder)
        if running is not None and running.key == key and isinstance(event, PageListed):
            running.pages.append(event)
            self.page_ready.emit(key.folder, event)

    @Slot(object, object)
    def _on_job_finished(self, key: _Key, _result: object) -> None:
        if self._take(key):
            self.listing_finished.emit(key.folder)

    @Slot(object, object)
    def _on_job_failed(self, key: _Key, error: StorageError) -> None:
        if self._take(key):
            self.listing_failed.emit(key.folder, error)

    def _take(self, key: _Key) -> bool:
        """End a listing; False if it was cancelled or replaced before."""
        running = self._listings.get(key.folder)
        if running is None or running.key != key:
            return False
        del self._listings[key.folder]
        return True
