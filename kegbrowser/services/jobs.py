"""One QThread per job: it drives a helper process and turns what comes up the pipe into signals."""

from __future__ import annotations

import enum
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator

from PySide6.QtCore import QObject, Qt, QThread, QTimer, Signal, SignalInstance, Slot

from kegbrowser.backends.errors import Cancelled, ServerFault, StorageError
from kegbrowser.services.helper_pool import HelperPool
from kegbrowser.transfer.jobs import Job
from kegbrowser.transfer.questions import Answer
from kegbrowser.worker.handle import HelperDied, HelperHandle
from kegbrowser.worker.messages import AskedByJob, HappenedInJob, JobEnded, JournalPlace, PaceLimits

log = logging.getLogger(__name__)

CANCEL_REPORT_MS = 900
"""A cancelled job is told as ended after this time at the latest; its helper may clean up for longer."""

CANCEL_KILL_MS = 8000
"""A helper that has not ended a cancelled job by then is killed."""


class Lane(enum.Enum):
    """Jobs of one lane wait for each other; lanes do not wait for one another."""

    BROWSE = "browse"
    TRANSFER = "transfer"


LANE_LIMITS = {Lane.BROWSE: 4, Lane.TRANSFER: max(1, (os.cpu_count() or 2) - 1)}


class JobThread(QThread):
    """A job in a helper. GUI thread only, but for `run`.

    Every signal names the job by its key. Exactly one of `job_finished`, `job_failed`, `job_cancelled` and `helper_died` comes,
    as the last. A suspended job ends as a cancelled one.

    Args:
        key: what the job is about, a value.
        make_job: gives the job; called on this thread, so it may read the keyring. May raise StorageError.
        connection_ids: the connections it uses.
        pool: where helpers come from.
        journal: gives where the job is remembered; called on this thread. None: nobody remembers it.
    """

    event_received = Signal(object, object)  # key, Event
    question_asked = Signal(object, int, object)  # key, question id, Question
    job_finished = Signal(object, object)  # key, Result
    job_failed = Signal(object, object)  # key, StorageError
    job_cancelled = Signal(object)  # key
    helper_died = Signal(object)  # key: the job was remembered, and can go on in another helper

    def __init__(
        self,
        key: object,
        make_job: Callable[[], Job],
        connection_ids: tuple[str, ...],
        pool: HelperPool,
        journal: Callable[[], JournalPlace | None] | None = None,
    ) -> None:
        super().__init__()
        self.key = key
        self._make_job = make_job
        self._connection_ids = connection_ids
        self._pool = pool
        self._lock = threading.Lock()
        self._helper: HelperHandle | None = None
        self._journal = journal
        self._is_remembered = False
        self._limits = PaceLimits()
        self._is_cancelled = False
        self._is_over = False

    def set_pace(self, limits: PaceLimits) -> None:
        """Have the job go at this speed from now on, or hold still."""
        with self._lock:
            self._limits = limits
            helper = self._helper
        if helper is not None:
            helper.set_pace(
                paused=limits.paused,
                up_bytes_per_s=limits.up_bytes_per_s,
                down_bytes_per_s=limits.down_bytes_per_s,
            )

    def cancel(self) -> None:
        """Stop the job and remove what is unfinished; `job_cancelled` follows within a second."""
        self._stop(lambda helper: helper.cancel())

    def suspend(self) -> None:
        """Stop the job and keep what is unfinished; `job_cancelled` follows within a second."""
        self._stop(lambda helper: helper.suspend())

    def _stop(self, stop: Callable[[HelperHandle], None]) -> None:
        with self._lock:
            if self._is_cancelled or self._is_over:
                return
            self._is_cancelled = True
            helper = self._helper
        if helper is not None:
            stop(helper)
        self._call_unless_ended(CANCEL_REPORT_MS, self._report_cancelled)
        self._call_unless_ended(CANCEL_KILL_MS, self.kill_helper)

    def answer(self, question_id: int, answer: Answer | None) -> None:
        """Answer the job's question; None dismisses it, which cancels the job."""
        with self._lock:
            helper = self._helper
        if helper is not None:
            helper.answer(question_id, answer)

    @Slot()
    def kill_helper(self) -> None:
        """End the helper at once if it is still at this job."""
        with self._lock:
            helper = self._helper
        if helper is not None:
            log.warning("Helper %s is killed: it did not stop in time", helper.pid)
            helper.kill()

    def give_up(self) -> None:
        """Tell a job that was never started as cancelled."""
        with self._lock:
            self._is_cancelled = True
        self._report_cancelled()

    def run(self) -> None:
        try:
            place = self._journal() if self._journal is not None else None
            job = self._make_job()
        except StorageError as error:
            self._end(self.job_failed, error)
            return
        except Cancelled:
            self._report_cancelled()
            return
        try:
            helper = self._pool.take(self._connection_ids)
        except OSError as error:
            reason = error.strerror or "the system refused"
            self._end(self.job_failed, ServerFault(f"No helper process could be started: {reason}.", hint="Try again."))
            return
        with self._lock:
            self._is_remembered = place is not None
            messages = helper.run(job, place, self._limits)
            self._helper = helper
            cancelled = self._is_cancelled
        try:
            if cancelled:
                self._report_cancelled()
            else:
                self._drive(helper, messages)
        finally:
            with self._lock:
                self._helper = None
            self._pool.give_back(helper)

    def _drive(self, helper: HelperHandle, messages: Iterator[HappenedInJob | AskedByJob | JobEnded]) -> None:
        try:
            for message in messages:
                match message:
                    case HappenedInJob():
                        if not self._is_over:
                            self.event_received.emit(self.key, message.event)
                    case AskedByJob() if not self._is_over:
                        self.question_asked.emit(self.key, message.question_id, message.question)
                    case JobEnded(error=StorageError() as error):
                        self._end(self.job_failed, error)
                    case JobEnded(was_cancelled=True):
                        self._report_cancelled()
                    case JobEnded():
                        self._end(self.job_finished, message.result)
        except HelperDied:
            if self._is_cancelled:
                self._report_cancelled()
                return
            log.warning("Helper %s died in the middle of a job", helper.pid)
            if self._is_remembered:
                self._end(self.helper_died)
                return
            died = ServerFault(
                "The helper process that did this ended unexpectedly.", hint="Nothing half-done was kept; try again."
            )
            self._end(self.job_failed, died)

    @Slot()
    def _report_cancelled(self) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        self.job_cancelled.emit(self.key)

    def _call_unless_ended(self, after_ms: int, slot: Callable[[], None]) -> None:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        self.finished.connect(timer.stop)
        timer.start(after_ms)

    def _end(self, signal: SignalInstance, *payload: object) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        signal.emit(self.key, *payload)


class JobRunner(QObject):
    """Starts jobs, as many at once as their lane allows, the others in order. GUI thread only.

    Args:
        pool: where helpers come from; closed with this.
    """

    def __init__(self, pool: HelperPool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = pool
        self._waiting: dict[Lane, deque[JobThread]] = {lane: deque() for lane in Lane}
        self._running: dict[Lane, list[JobThread]] = {lane: [] for lane in Lane}
        self._resting: set[JobThread] = set()
        self._closed = False

    def new_job(
        self,
        key: object,
        make_job: Callable[[], Job],
        connection_ids: tuple[str, ...],
        journal: Callable[[], JournalPlace | None] | None = None,
    ) -> JobThread:
        """Make a job; connect its signals, then `submit` it."""
        return JobThread(key, make_job, connection_ids, self._pool, journal)

    def submit(self, job: JobThread, lane: Lane) -> None:
        """Run the job as soon as its lane has room."""
        if self._closed:
            job.give_up()
            return
        job.finished.connect(self._on_thread_finished, Qt.ConnectionType.QueuedConnection)
        self._waiting[lane].append(job)
        self._start_waiting()

    def cancel(self, job: JobThread) -> None:
        """Stop a job, waiting or running; its `job_cancelled` follows within a second."""
        for queue in self._waiting.values():
            if job in queue:
                queue.remove(job)
                job.give_up()
                return
        job.cancel()

    def withdraw(self, job: JobThread) -> bool:
        """Take a job that waits out of its lane, without a word; False if it runs already."""
        for queue in self._waiting.values():
            if job in queue:
                queue.remove(job)
                return True
        return False

    def arrange(self, lane: Lane, keys: list[object]) -> None:
        """Let the jobs of a lane that wait take their turns in this order."""
        rank = {key: number for number, key in enumerate(keys)}
        waiting = sorted(self._waiting[lane], key=lambda job: rank.get(job.key, len(rank)))
        self._waiting[lane] = deque(waiting)

    def rest(self, job: JobThread, *, resting: bool) -> None:
        """A job that rests gives its place in the lane to the next one; it goes on at once when it does not any more."""
        if resting:
            self._resting.add(job)
            self._start_waiting()
        else:
            self._resting.discard(job)

    def is_waiting(self, job: JobThread) -> bool:
        """Whether the job has not been started yet."""
        return any(job in queue for queue in self._waiting.values())

    def shut_down(self, grace_s: float = 8.0) -> None:
        """Suspend everything and wait for the threads; blocks, `grace_s` at most. Helpers are ended."""
        self._closed = True
        for queue in self._waiting.values():
            queue.clear()
        running = [job for jobs in self._running.values() for job in jobs]
        for job in running:
            job.suspend()
        self._pool.close()
        for job in running:
            job.wait(int(grace_s * 1000))
        for jobs in self._running.values():
            jobs.clear()

    @Slot()
    def _on_thread_finished(self) -> None:
        for jobs in self._running.values():
            for job in [job for job in jobs if job.isFinished()]:
                job.wait()
                jobs.remove(job)
                self._resting.discard(job)
                job.deleteLater()
        self._start_waiting()

    def _start_waiting(self) -> None:
        for lane, queue in self._waiting.items():
            while queue and sum(job not in self._resting for job in self._running[lane]) < LANE_LIMITS[lane]:
                job = queue.popleft()
                self._running[lane].append(job)
                job.start()
