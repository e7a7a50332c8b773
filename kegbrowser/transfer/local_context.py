"""Runs jobs in this process: for the command line and for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import Cancelled
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Event
from kegbrowser.transfer.pace import Pace
from kegbrowser.transfer.questions import Answer, Question
from kegbrowser.transfer.records import JobJournal, NoJournal


class LocalContext:
    """The `JobContext` of jobs that run here. Any thread. A context manager: leaving it closes the connections.

    Args:
        token: cancels all jobs that are given this context; a new one if None.
        on_event: takes what jobs tell; called on their threads.
        on_question: answers what jobs ask, on their threads; None dismisses all questions. It raises `Cancelled` to dismiss one.
        journal: remembers the job; None: nobody does.
    """

    def __init__(
        self,
        token: CancelToken | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        on_question: Callable[[Question], Answer] | None = None,
        journal: JobJournal | None = None,
    ) -> None:
        self.token = CancelToken() if token is None else token
        self.journal = NoJournal() if journal is None else journal
        self.pace = Pace()
        self._on_event = on_event
        self._on_question = on_question
        self._lock = threading.Lock()
        self._open: list[tuple[ConnectionSpec, StorageBackend]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self, spec: ConnectionSpec) -> StorageBackend:
        """The backend of a connection: the same object for the same spec."""
        with self._lock:
            for known, storage in self._open:
                if known == spec:
                    return storage
            self.token.check()
            storage = spec.open()
            self._open.append((spec, storage))
        self.token.on_cancel(storage.interrupt)
        return storage

    def adopt(self, spec: ConnectionSpec, storage: StorageBackend) -> None:
        """Have `storage` stand for a connection; it is closed with the others."""
        with self._lock:
            self._open.append((spec, storage))
        self.token.on_cancel(storage.interrupt)

    def emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def ask(self, question: Question) -> Answer:
        self.token.check()
        if self._on_question is None:
            raise Cancelled
        answer = self._on_question(question)
        self.token.check()
        return answer

    def close(self) -> None:
        """Close the connections. The second call does nothing."""
        with self._lock:
            closing = [storage for _spec, storage in self._open]
            self._open.clear()
        for storage in closing:
            storage.shutdown()
