"""The parent's side of a helper: starts it, speaks with it, ends it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kegbrowser.transfer.jobs import Job
from kegbrowser.transfer.questions import Answer
from kegbrowser.worker.messages import (
    AskedByJob,
    CancelJob,
    Command,
    ForgetConnection,
    GiveAnswer,
    HappenedInJob,
    JobEnded,
    JournalPlace,
    Message,
    PaceLimits,
    SetPace,
    StartJob,
    WarmUp,
    Wire,
)

log = logging.getLogger(__name__)

STOP_GRACE_S = 6.0
"""How long a helper may take to clean up and leave when it is told to stop."""


class HelperDied(Exception):
    """The helper is gone in the middle of a job: it crashed or was killed."""


class HelperHandle:
    """A helper process that runs one job at a time.

    `run` is called by one thread at a time and blocks; all other methods may be called from any thread and do not wait.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_import_root(), close_fds=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._wire = Wire(self._process.stdout, self._process.stdin)
        self._lock = threading.Lock()
        self._next_job = 0
        self._running: int | None = None
        self._is_lost = False
        self.served: set[str] = set()
        """Ids of the connections it has opened; kept by whoever gives it jobs."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return not self._is_lost and self._process.poll() is None

    def run(
        self, job: Job, journal: JournalPlace | None = None, pace: PaceLimits | None = None
    ) -> Iterator[HappenedInJob | AskedByJob | JobEnded]:
        """Run a job and yield what it tells; the last one is its `JobEnded`.

        The job is known from here on: `cancel`, `suspend` and `set_pace` reach it although it starts with the first `next`.

        Args:
            journal: where the job is remembered, to be taken up again.
            pace: how fast it may go at its start.

        Raises:
            HelperDied: on iteration: the process is gone before the job ended.
        """
        with self._lock:
            job_id = self._next_job
            self._next_job += 1
            self._running = job_id
        return self._drive(StartJob(job_id, job, journal, pace))

    def cancel(self) -> None:
        """Stop the running job and remove what is unfinished; does nothing if there is none."""
        with self._lock:
            running = self._running
        if running is not None:
            self._send(CancelJob(running))

    def suspend(self) -> None:
        """Stop the running job and keep what its journal knows to be unfinished; it ends as a cancelled one does."""
        with self._lock:
            running = self._running
        if running is not None:
            self._send(CancelJob(running, keep=True))

    def set_pace(
        self, *, paused: bool = False, up_bytes_per_s: int | None = None, down_bytes_per_s: int | None = None
    ) -> None:
        """Have the running job go on at this speed (None: as fast as it goes), or hold still; does nothing if there is none."""
        with self._lock:
            running = self._running
        if running is not None:
            self._send(SetPace(running, PaceLimits(paused, up_bytes_per_s, down_bytes_per_s)))

    def answer(self, question_id: int, answer: Answer | None) -> None:
        """Answer a question of the running job; None dismisses it."""
        with self._lock:
            running = self._running
        if running is not None:
            self._send(GiveAnswer(running, question_id, answer))

    def warm_up(self, kinds: tuple[str, ...]) -> None:
        """Have it load what these kinds of connection need."""
        self._send(WarmUp(kinds))

    def forget(self, connection_id: str) -> None:
        """Have it close what it holds open of a connection."""
        self.served.discard(connection_id)
        self._send(ForgetConnection(connection_id))

    def kill(self) -> None:
        """End it now; a running job's reader then sees `HelperDied`."""
        self._process.kill()

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Let it clean up and leave, and kill it if it does not within `grace_s`. Blocks that long at most."""
        self._wire.close_outgoing()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            log.warning("Helper %s did not stop by itself", self.pid)
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _drive(self, command: StartJob) -> Iterator[HappenedInJob | AskedByJob | JobEnded]:
        job_id = command.job_id
        try:
            self._send(command, needed=True)
            while (message := self._receive()) is not None:
                if message.job_id != job_id:
                    continue  # the tail of a job that was given up
                yield message
                if isinstance(message, JobEnded):
                    return
            self._is_lost = True  # the pipe ends a moment before the process does
            raise HelperDied(f"Helper {self.pid} is gone.")
        finally:
            with self._lock:
                if self._running == job_id:
                    self._running = None

    def _send(self, command: Command, *, needed: bool = False) -> None:
        try:
            self._wire.send(command)
        except OSError as exc:
            self._is_lost = True
            if needed:
                raise HelperDied(f"Helper {self.pid} is gone.") from exc

    def _receive(self) -> Message | None:
        message = self._wire.receive()
        assert not isinstance(message, (StartJob, CancelJob, SetPace, GiveAnswer, WarmUp, ForgetConnection))
        return message


def _command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, "--helper"]
    return [sys.executable, "-m", "kegbrowser", "--helper"]


def _import_root() -> str | None:
    """The folder that the package is imported from, so that the child finds the same one."""
    if getattr(sys, "frozen", False):
        return None
    return os.fspath(Path(__file__).resolve().parents[2])


def stop_all(handles: list[HelperHandle], grace_s: float = STOP_GRACE_S) -> None:
    """Stop several at once, so that the longest one's time is what it takes."""
    threads = [threading.Thread(target=handle.stop, args=(grace_s,)) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        with suppress(RuntimeError):
            thread.join()
