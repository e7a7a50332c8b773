"""Finds what unfinished transfers left behind, without what a queue of transfers still needs."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal, Slot

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.services.errands import tokens_in_use
from kegbrowser.services.jobs import JobRunner, JobThread, Lane
from kegbrowser.services.making import SpecSource
from kegbrowser.transfer.events import Event, Leftovers, Result
from kegbrowser.transfer.jobs import FindIncomplete, FindLocalParts, Job


class LeftoverFinder(QObject):
    """Each verb gives the number that its signals will name. GUI thread only.

    Args:
        journal: of all windows' queues: what they need is never told.
    """

    leftovers_found = Signal(int, object)  # number, Leftovers: new ones
    finding_finished = Signal(int, bool)  # number, whether there are more than were told
    finding_failed = Signal(int, object)  # number, StorageError

    def __init__(
        self, runner: JobRunner, spec_source: SpecSource, journal: Path, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.journal = journal
        self._runner = runner
        self._spec_source = spec_source
        self._numbers = count(1)
        self._jobs: dict[int, JobThread] = {}
        self._in_use: dict[int, frozenset[str]] = {}

    def find_uploads(self, folder: RemotePath) -> int:
        """Look for uploads below a folder that were begun and not ended, by whomever."""
        number = next(self._numbers)

        def make_job() -> Job:
            self._in_use[number] = tokens_in_use(self.journal)
            return FindIncomplete(self._spec_source(folder.connection_id), folder.path)

        job = self._runner.new_job(number, make_job, (folder.connection_id,))
        return self._start(number, job)

    def find_parts(self, folder: str) -> int:
        """Look for the hidden part files of downloads below a local folder."""
        number = next(self._numbers)

        def make_job() -> Job:
            self._in_use[number] = tokens_in_use(self.journal)
            return FindLocalParts(folder)

        return self._start(number, self._runner.new_job(number, make_job, ()))

    def cancel(self, number: int) -> None:
        """Stop looking; nothing more is told."""
        job = self._jobs.pop(number, None)
        self._in_use.pop(number, None)
        if job is not None:
            self._runner.cancel(job)

    def _start(self, number: int, job: JobThread) -> int:
        queued = Qt.ConnectionType.QueuedConnection
        job.event_received.connect(self._on_event_received, queued)
        job.job_finished.connect(self._on_job_finished, queued)
        job.job_failed.connect(self._on_job_failed, queued)
        self._jobs[number] = job
        self._runner.submit(job, Lane.BROWSE)
        return number

    @Slot(object, object)
    def _on_event_received(self, number: int, event: Event) -> None:
        if number in self._jobs and isinstance(event, Leftovers):
            self.leftovers_found.emit(number, _without(event, self._in_use[number]))

    @Slot(object, object)
    def _on_job_finished(self, number: int, result: Result) -> None:
        if self._jobs.pop(number, None) is not None and isinstance(result, Leftovers):
            del self._in_use[number]
            self.finding_finished.emit(number, result.is_cut)

    @Slot(object, object)
    def _on_job_failed(self, number: int, error: StorageError) -> None:
        if self._jobs.pop(number, None) is not None:
            self._in_use.pop(number, None)
            self.finding_failed.emit(number, error)


def _without(found: Leftovers, in_use: frozenset[str]) -> Leftovers:
    # A download's token is the length of its ranges, a colon and the path of its part file.
    paths = {path for token in in_use for path in (token, token.partition(":")[2])}
    return replace(
        found,
        uploads=tuple(one for one in found.uploads if one.token not in in_use),
        local_parts=tuple(one for one in found.local_parts if one.path not in paths),
    )
