"""What a running job is given by whoever runs it: its window to the world."""

from __future__ import annotations

from typing import Protocol

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Event
from kegbrowser.transfer.pace import Pace
from kegbrowser.transfer.questions import Answer, Question
from kegbrowser.transfer.records import JobJournal


class JobContext(Protocol):
    """Given to `run_job`. All methods may be called from any thread of the job."""

    token: CancelToken
    journal: JobJournal
    pace: Pace

    def open(self, spec: ConnectionSpec) -> StorageBackend:
        """The open backend of a connection; the same object for the same spec. The context interrupts it at cancel and shuts
        it down some time after the job."""
        ...

    def emit(self, event: Event) -> None:
        """Tell; does not block for long and never raises."""
        ...

    def ask(self, question: Question) -> Answer:
        """Ask and wait.

        Raises:
            Cancelled: the question was dismissed, or the job cancelled.
        """
        ...
