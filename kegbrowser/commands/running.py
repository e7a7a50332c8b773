"""Runs jobs of the engine for the command line: the job on a thread, the person on the main thread."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kegbrowser.backends.errors import Cancelled
from kegbrowser.commands.console import REDRAW_S, Console
from kegbrowser.commands.outcome import ExitCode
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Counted, Event, PageListed, Progress, Result
from kegbrowser.transfer.jobs import Job
from kegbrowser.transfer.local_context import LocalContext
from kegbrowser.transfer.questions import Answer, Question
from kegbrowser.transfer.run import run_job

log = logging.getLogger(__name__)

CLEAN_UP_S = 5.0
"""How long a cancelled job may remove its unfinished files before the process ends without it."""


@dataclass(frozen=True, slots=True)
class _Ended:
    result: Result = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    question: Question
    answer: queue.SimpleQueue[Answer | BaseException]


class JobRunner:
    """Runs jobs one after the other; they share open connections. A context manager: leaving it closes them.

    Main thread only, so that Ctrl+C arrives here. It cancels the job, which then removes what it left unfinished; a second Ctrl+C
    ends the process at once.

    Args:
        answer: answers a job's question, on the main thread.
    """

    def __init__(self, console: Console, answer: Callable[[Question], Answer]) -> None:
        self._console = console
        self._answer = answer
        self._token = CancelToken()
        self._inbox: queue.Queue[Event | _Asked | _Ended] = queue.Queue(maxsize=64)
        self.context = LocalContext(self._token, on_event=self._put, on_question=self._ask)

    def __enter__(self) -> JobRunner:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._console.clear()
        self.context.close()

    def run(self, job: Job, on_page: Callable[[PageListed], None] | None = None) -> Result:
        """Run a job to its end.

        Raises:
            Cancelled: by Ctrl+C, or because a question was not answered.
            StorageError: why the job as a whole failed.
        """
        self._console.begin_job()
        threading.Thread(target=self._carry_out, args=(job,), name="job", daemon=True).start()
        try:
            ended = self._attend(on_page)
        except BaseException as error:  # Ctrl+C, a closed pipe, an unanswered question: the job cleans up first
            self._cancel()
            if isinstance(error, KeyboardInterrupt):
                raise Cancelled from error
            raise
        if ended.error is not None:
            raise ended.error
        return ended.result

    def _attend(self, on_page: Callable[[PageListed], None] | None) -> _Ended:
        while True:
            try:
                item = self._inbox.get(timeout=REDRAW_S)  # a timeout, for Ctrl+C does not wake a lock on Windows
            except queue.Empty:
                continue
            match item:
                case _Ended():
                    self._console.clear()
                    return item
                case _Asked(question, slot):
                    slot.put(self._answer(question))
                case PageListed():
                    if on_page is not None:
                        on_page(item)
                case Progress() | Counted():
                    self._console.progress(item)

    def _cancel(self) -> None:
        try:
            self._console.clear()
            self._token.cancel()
            deadline = time.monotonic() + CLEAN_UP_S
            while time.monotonic() < deadline:
                try:
                    if isinstance(self._inbox.get(timeout=REDRAW_S), _Ended):
                        return
                except queue.Empty:
                    continue
            log.warning("the job did not end within %s s", CLEAN_UP_S)
        except KeyboardInterrupt:
            log.debug("interrupted a second time")
        end_now(ExitCode.CANCELLED)

    # -- on the job's threads ----------------------------------------------------------------------------------------

    def _carry_out(self, job: Job) -> None:
        try:
            ended = _Ended(run_job(job, self.context))
        except BaseException as error:  # the outermost frame of the thread: the main thread raises it again
            ended = _Ended(error=error)
        self._put(ended)

    def _put(self, item: Event | _Asked | _Ended) -> None:
        while True:  # a full inbox slows the job down to the speed of who reads our output
            try:
                self._inbox.put(item, timeout=REDRAW_S)
                return
            except queue.Full:
                if self._token.is_cancelled and not isinstance(item, _Ended):
                    return

    def _ask(self, question: Question) -> Answer:
        slot: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        forget = self._token.on_cancel(lambda: slot.put(Cancelled()))
        try:
            self._put(_Asked(question, slot))
            answer = slot.get()
        finally:
            forget()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def end_now(code: ExitCode) -> None:
    """End the process without waiting for threads that hang."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
