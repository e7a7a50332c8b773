"""The helper's own side: takes jobs one after the other from its parent and runs the engine on them.

The main thread runs the job; a second one reads the pipe, so that cancel and answers arrive in the middle. When the parent is
gone (the pipe ends), the running job is suspended: it keeps what its journal knows, gets a short time for that, and the process
ends. Nobody runs the same job meanwhile: its journal is locked until then.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import Cancelled, ServerFault, StorageError
from kegbrowser.backends.registry import ConnectionSpec, warm_up
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Event
from kegbrowser.transfer.jobs import Copy, Download, Upload
from kegbrowser.transfer.journal import Journal, SqliteJobJournal
from kegbrowser.transfer.pace import Direction, Pace
from kegbrowser.transfer.questions import Answer, Question
from kegbrowser.transfer.records import JobJournal, NoJournal
from kegbrowser.transfer.run import run_job
from kegbrowser.worker.memory import give_back, limit_arenas
from kegbrowser.worker.messages import (
    AskedByJob,
    CancelJob,
    ForgetConnection,
    GiveAnswer,
    HappenedInJob,
    JobEnded,
    JournalPlace,
    PaceLimits,
    SetPace,
    StartJob,
    WarmUp,
    Wire,
)

log = logging.getLogger(__name__)

NICENESS = 10
"""Below the window: a transfer at full speed made 63 of 139 frames late at 0, some at 5, and 4 of 1,094 at 10."""

ORPHAN_GRACE_S = 5.0
"""How long a job may take to stop after the window is gone; shorter than `transfer.journal.store.ORPHAN_WAIT_S`."""


def main() -> int:
    """Run as a helper until the parent closes the pipe. The exit status is 0."""
    wire = _take_over_the_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal goes to the whole group; the parent decides
    limit_arenas()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="helper: %(levelname)s %(name)s: %(message)s")
    Helper(wire).serve()
    return 0


class Helper:
    """The loop of a helper process. `serve` runs on the main thread."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._todo: queue.SimpleQueue[StartJob | WarmUp | ForgetConnection | None] = queue.SimpleQueue()
        self._sessions = _Sessions()
        self._lock = threading.Lock()
        self._running: _RunningJob | None = None
        self._journals = _Journals()
        self._cancelled_early: dict[int, bool] = {}
        self._paces_early: dict[int, PaceLimits] = {}
        self._is_orphan = False

    def serve(self) -> None:
        """Work until the parent is gone."""
        threading.Thread(target=self._read_pipe, name="pipe", daemon=True).start()
        while (command := self._todo.get()) is not None:
            match command:
                case StartJob():
                    self._run(command)
                case WarmUp(kinds):
                    for kind in kinds:
                        warm_up(kind)
                case ForgetConnection(connection_id):
                    self._sessions.forget(connection_id)
        self._sessions.close()
        self._journals.close()

    def _run(self, command: StartJob) -> None:
        self._sessions.begin_job()
        job = _RunningJob(command.job_id, self._wire, self._sessions)
        with self._lock:
            self._running = job
            job.set_pace(self._paces_early.get(command.job_id, command.pace or PaceLimits()))
            keep = self._cancelled_early.get(command.job_id, True)
            if self._is_orphan or command.job_id in self._cancelled_early:
                job.token.cancel(keep=keep)
            self._cancelled_early.clear()  # the handle runs one job at a time: others are over
            self._paces_early.clear()
        try:
            ended = _outcome(command, job, self._journals)
        finally:
            with self._lock:
                self._running = None
        if job.token.is_cancelled:
            self._sessions.drop_interrupted()
        with suppress(OSError):  # the parent is gone: the reader notices as well
            self._wire.send(ended)
        del ended, job
        if isinstance(command.job, Download | Upload | Copy):
            give_back()

    def _read_pipe(self) -> None:
        while (message := self._wire.receive()) is not None:
            match message:
                case StartJob() | WarmUp() | ForgetConnection():
                    self._todo.put(message)
                case CancelJob(job_id, keep):
                    self._cancel(job_id, keep=keep)
                case SetPace(job_id, limits):
                    self._set_pace(job_id, limits)
                case GiveAnswer():
                    with self._lock:
                        job = self._running
                    if job is not None and job.job_id == message.job_id:
                        job.take_answer(message.question_id, message.answer)
        self._parent_is_gone()

    def _cancel(self, job_id: int, *, keep: bool) -> None:
        with self._lock:
            job = self._running
            if job is None or job.job_id != job_id:
                self._cancelled_early.setdefault(job_id, keep)
                return
        job.token.cancel(keep=keep)

    def _set_pace(self, job_id: int, limits: PaceLimits) -> None:
        with self._lock:
            job = self._running
            if job is None or job.job_id != job_id:
                self._paces_early[job_id] = limits
                return
            job.set_pace(limits)

    def _parent_is_gone(self) -> None:
        with self._lock:
            self._is_orphan = True
            job = self._running
        self._todo.put(None)
        if job is not None:
            job.token.cancel(keep=True)
            # The main thread ends the process when the job has cleaned up; this is for one that does not.
            timer = threading.Timer(ORPHAN_GRACE_S, os._exit, args=(0,))
            timer.daemon = True
            timer.start()


class _RunningJob:
    """One job's window to the world: the engine's `JobContext` over the pipe."""

    def __init__(self, job_id: int, wire: Wire, sessions: _Sessions) -> None:
        self.job_id = job_id
        self.token = CancelToken()
        self.journal: JobJournal = NoJournal()
        self.pace = Pace()
        self._wire = wire
        self._sessions = sessions
        self._lock = threading.Lock()
        self._next_question = 0
        self._answers: dict[int, queue.SimpleQueue[Answer | None]] = {}

    def set_pace(self, limits: PaceLimits) -> None:
        self.pace.set_limit(Direction.UP, limits.up_bytes_per_s)
        self.pace.set_limit(Direction.DOWN, limits.down_bytes_per_s)
        self.pace.set_paused(paused=limits.paused)

    def open(self, spec: ConnectionSpec) -> StorageBackend:
        self.token.check()
        storage = self._sessions.open(spec)
        self.token.on_cancel(storage.interrupt)
        return storage

    def emit(self, event: Event) -> None:
        with suppress(OSError):  # the parent is gone: the reader cancels the job
            self._wire.send(HappenedInJob(self.job_id, event))

    def ask(self, question: Question) -> Answer:
        slot: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        with self._lock:
            question_id = self._next_question
            self._next_question += 1
            self._answers[question_id] = slot
        forget = self.token.on_cancel(lambda: slot.put(None))
        try:
            self._wire.send(AskedByJob(self.job_id, question_id, question))
            answer = slot.get()
        except OSError as exc:
            raise Cancelled from exc
        finally:
            forget()
            with self._lock:
                del self._answers[question_id]
        if answer is None:
            raise Cancelled
        return answer

    def take_answer(self, question_id: int, answer: Answer | None) -> None:
        with self._lock:
            slot = self._answers.get(question_id)
        if slot is not None:
            slot.put(answer)


class _Sessions:
    """The connections this helper holds open, so that the next job of the same one need not connect."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[ConnectionSpec, StorageBackend]] = {}
        self._used_by_job: set[str] = set()

    def begin_job(self) -> None:
        with self._lock:
            self._used_by_job.clear()

    def open(self, spec: ConnectionSpec) -> StorageBackend:
        with self._lock:
            self._used_by_job.add(spec.connection_id)
            held = self._open.get(spec.connection_id)
            if held is not None and held[0] == spec:
                return held[1]
            storage = spec.open()
            self._open[spec.connection_id] = (spec, storage)
        if held is not None:
            held[1].shutdown()
        return storage

    def drop_interrupted(self) -> None:
        """Close what the cancelled job used: an interrupted backend stays interrupted."""
        with self._lock:
            dropped = [self._open.pop(key)[1] for key in self._used_by_job if key in self._open]
        for storage in dropped:
            storage.shutdown()

    def forget(self, connection_id: str) -> None:
        with self._lock:
            held = self._open.pop(connection_id, None)
        if held is not None:
            held[1].shutdown()

    def close(self) -> None:
        for connection_id in list(self._open):
            self.forget(connection_id)


class _Journals:
    """The journals this helper has open. Its main thread only."""

    def __init__(self) -> None:
        self._open: dict[str, Journal] = {}

    def open_job(self, place: JournalPlace, stop: CancelToken) -> SqliteJobJournal:
        journal = self._open.get(place.path)
        if journal is None:
            journal = self._open[place.path] = Journal(Path(place.path))
        return journal.open_job(place.job_id, stop)

    def close(self) -> None:
        for journal in self._open.values():
            journal.close()
        self._open.clear()


def _outcome(command: StartJob, job: _RunningJob, journals: _Journals) -> JobEnded:
    try:
        if command.journal is None:
            return JobEnded(command.job_id, result=run_job(command.job, job))
        with closing(journals.open_job(command.journal, job.token)) as journal:
            job.journal = journal
            return JobEnded(command.job_id, result=run_job(command.job, job))
    except Cancelled:
        return JobEnded(command.job_id, was_cancelled=True)
    except StorageError as error:
        return JobEnded(command.job_id, error=error)
    except Exception as exc:
        # The outermost frame of a worker: a fault of ours becomes a failed job, not a dead helper.
        log.exception("A job failed by a fault of the program")
        fault = ServerFault(
            f"This could not be done because of a fault in the program ({type(exc).__name__}).",
            hint="Please report it with the program's log.",
            retryable=False,
        )
        return JobEnded(command.job_id, error=fault)


def _take_over_the_pipes() -> Wire:
    """Keep the two pipes to ourselves: whatever else prints goes to stderr, whatever else reads finds nothing."""
    incoming: IO[bytes] = os.fdopen(os.dup(0), "rb")
    outgoing: IO[bytes] = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return Wire(incoming, outgoing)


if __name__ == "__main__":
    sys.exit(main())
