"""The queue's memory: writes to the journal on a thread of its own, in order, so that the window never waits for a disk."""

from __future__ import annotations

import csv
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from kegbrowser.backends.errors import StorageError
from kegbrowser.services.recipes import Recipe
from kegbrowser.transfer.events import JobReport, Progress
from kegbrowser.transfer.journal import JobRecord, JobState, Journal
from kegbrowser.transfer.records import ItemRecord
from kegbrowser.worker.messages import JournalPlace

log = logging.getLogger(__name__)

CLOSE_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Restored:
    """A job that an earlier window left, claimed by this one."""

    record: JobRecord
    recipe: Recipe


class QueueStore(QObject):
    """GUI thread only; what it does, it does on a thread of its own.

    Args:
        path: the journal's file.
    """

    jobs_restored = Signal(object)  # tuple[Restored, ...], in the order of the queue
    trouble_met = Signal(
        object
    )  # StorageError: the journal cannot be used; transfers go on, but will not be remembered

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.path = path
        self._todo: queue.SimpleQueue[Callable[[Journal, str], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="queue-store", daemon=True)
        self._is_started = False

    def restore(self) -> None:
        """Open the journal and claim what nobody else has: `jobs_restored` follows."""
        self._do(self._restore)

    def add(self, recipe: Recipe) -> Future[int]:
        """Put a job into the journal; gives its id there, or the error, when that is done."""
        added: Future[int] = Future()

        def insert(journal: Journal, owner: str) -> None:
            try:
                job_id = journal.add(recipe.kind.value, recipe.to_json())
                journal.claim(job_id, owner)
            except StorageError as error:
                added.set_exception(error)
                raise
            added.set_result(job_id)

        self._do(insert)
        return added

    def note(
        self,
        job: Future[int],
        state: JobState | None,
        *,
        progress: Progress | None = None,
        report: JobReport | None = None,
        error: StorageError | None = None,
    ) -> None:
        """Note what has become of a job."""
        self._with(job, lambda journal, i: journal.change(i, state, progress=progress, report=report, error=error))

    def move(self, job: Future[int], before: Future[int] | None) -> None:
        """Put a job before another one, or at the end."""

        def change(journal: Journal, job_id: int) -> None:
            journal.move(job_id, None if before is None or before.exception() is not None else before.result())

        self._with(job, change)

    def remove(self, job: Future[int]) -> None:
        """Forget a job."""
        self._with(job, lambda journal, job_id: journal.remove(job_id))

    def reset_failed(self, job: Future[int]) -> None:
        """Plan what failed anew."""
        self._with(job, lambda journal, job_id: journal.reset_failed(job_id) and None)

    def unfinished(self, job: Future[int], take: Callable[[tuple[ItemRecord, ...]], None]) -> None:
        """Have `take` called on the store's thread with the items of which something may be left at the target."""
        self._with(job, lambda journal, job_id: take(tuple(journal.unfinished(job_id))))

    def first_items(self, job: Future[int], count: int, take: Callable[[tuple[ItemRecord, ...]], None]) -> None:
        """Have `take` called on the store's thread with the first items of a job; with none if they cannot be read."""

        def read(journal: Journal, job_id: int) -> None:
            items: tuple[ItemRecord, ...] = ()
            try:
                items = tuple(journal.items(job_id, 0, count))
            finally:
                take(items)

        self._with(job, read)

    def export(self, job: Future[int], path: str) -> None:
        """Write the items of a job to a file (CSV); what goes wrong comes as `trouble_met`."""

        def write(journal: Journal, job_id: int) -> None:
            try:
                with Path(path).open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                    rows = csv.writer(file)
                    rows.writerow(("source", "target", "size", "state", "check", "reason"))
                    for item in journal.all_items(job_id):
                        rows.writerow(_row(item))
            except OSError as error:
                reason = error.strerror or "the system refused"
                self.trouble_met.emit(StorageError(f"Could not write “{Path(path).name}”: {reason}.", path=path))

        self._with(job, write)

    def place_of(self, job: Future[int] | None) -> JournalPlace | None:
        """Where a job is remembered; waits until it is in the journal. Called on the job's thread. None: nowhere."""
        if job is None:
            return None
        try:
            return JournalPlace(str(self.path), job.result())
        except StorageError:
            return None

    def close(self) -> None:
        """Write what waits, and let go of all jobs; blocks, some seconds at most."""
        if self._is_started:
            self._todo.put(None)
            self._thread.join(CLOSE_GRACE_S)

    # -- on the store's thread -------------------------------------------------------------------------------------------

    def _with(self, job: Future[int], action: Callable[[Journal, int], object]) -> None:
        def carry_out(journal: Journal, _owner: str) -> None:
            if job.exception() is None:  # it is in the journal by now: all is done in order
                action(journal, job.result())

        self._do(carry_out)

    def _do(self, action: Callable[[Journal, str], None]) -> None:
        if not self._is_started:
            self._is_started = True
            self._thread.start()
        self._todo.put(action)

    def _work(self) -> None:
        try:
            journal = Journal(self.path)
            owner = journal.new_owner()
        except StorageError as error:
            self.trouble_met.emit(error)
            self._refuse_all(error)
            return
        if journal.notice:
            self.trouble_met.emit(StorageError(journal.notice))
        try:
            while (action := self._todo.get()) is not None:
                try:
                    action(journal, owner.name)
                except StorageError as error:
                    log.warning("The journal of transfers could not be written: %s", error)
                    self.trouble_met.emit(error)
        finally:
            journal.close()
            owner.release()

    def _refuse_all(self, error: StorageError) -> None:
        """Answer all without a journal."""
        broken = _Broken(error)
        while (action := self._todo.get()) is not None:
            try:
                action(broken, "")  # type: ignore[arg-type]  # it only raises
            except StorageError:
                continue

    def _restore(self, journal: Journal, owner: str) -> None:
        found: list[Restored] = []
        for record in journal.jobs():
            try:
                recipe = Recipe.from_json(record.kind, record.recipe)
            except (ValueError, KeyError, TypeError):
                log.warning("Job %s of the journal is not understood", record.job_id)
                continue
            if journal.claim(record.job_id, owner):
                found.append(Restored(record, recipe))
        self.jobs_restored.emit(tuple(found))


def _row(item: ItemRecord) -> tuple[object, ...]:
    proof, error = item.proof, item.error
    check = "" if proof is None else f"{proof.certainty.value} {proof.by}".strip()
    reason = error.message if error is not None else proof.reason if proof is not None else ""
    size = "" if item.mark.size < 0 else item.mark.size
    return item.source, item.place, size, item.state.value, check, reason


class _Broken:
    """Stands for a journal that could not be opened."""

    def __init__(self, error: StorageError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> object:
        raise self._error.with_traceback(None)
