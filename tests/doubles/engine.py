"""Runs the engine in a test: a storage, a context that keeps what is told and answers what is asked, short waits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from kegbrowser.backends.base import StorageBackend
from kegbrowser.backends.errors import Cancelled
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import Event, JobReport, Progress, Result
from kegbrowser.transfer.jobs import Job
from kegbrowser.transfer.local_context import LocalContext
from kegbrowser.transfer.questions import Answer, Question
from kegbrowser.transfer.records import JobJournal
from kegbrowser.transfer.retry import RetryPolicy
from kegbrowser.transfer.run import run_job
from kegbrowser.transfer.tuning import Tuning

QUICK_RETRY = RetryPolicy(tries=5, first_wait_s=0.001, longest_wait_s=0.01)
SMALL_PARTS = Tuning(
    small_file_bytes=20_000, range_bytes=10_000, piece_bytes=1_000, items_ahead=50, clean_up_s=2.0, retry=QUICK_RETRY
)
"""Numbers by which a file of a few kilobytes meets all that happens to one of gigabytes."""


_ADDRESS = {
    "local": {"root": "/"},
    "sftp": {"host": "server", "username": "user"},
    "s3": {"bucket": "bucket"},
    "azure": {"account": "account", "container": "container"},
}
"""What a connection that is only adopted needs to give its paths an address."""


class Engine:
    """A context manager: leaving it closes the storages.

    Attributes:
        events, questions: all that was told and asked.
        answers: taken one after the other; the last one again and again; none dismisses.
        tuning: of the jobs.
        journal: remembers the job; None: nobody does.
    """

    def __init__(self, *answers: Answer, tuning: Tuning = SMALL_PARTS, journal: JobJournal | None = None) -> None:
        self.token = CancelToken()
        self.events: list[Event] = []
        self.questions: list[Question] = []
        self.answers = list(answers)
        self.tuning = tuning
        self.on_event: Callable[[Event], None] | None = None
        self.context = LocalContext(self.token, on_event=self._take, on_question=self._answer, journal=journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.context.close()

    def adopt(self, storage: StorageBackend, kind: str = "memory", **options: str) -> ConnectionSpec:
        """A connection that leads to this very object."""
        spec = ConnectionSpec(f"{kind}-{id(storage)}", kind, storage.name, _ADDRESS.get(kind, {}) | options)
        self.context.adopt(spec, storage)
        return spec

    def run(self, job: Job) -> Result:
        return run_job(job, self.context, self.tuning)

    def report(self, job: Job) -> JobReport:
        """Run a job that ends with a report."""
        result = self.run(job)
        assert isinstance(result, JobReport)
        return result

    def whole(self, job: Job) -> JobReport:
        """Run a job in which nothing may fail."""
        report = self.report(job)
        failed = [f"{failure.path}: {failure.error!r}" for failure in report.failures]
        assert not failed, failed
        assert report.files_done + report.files_skipped == report.files_total, report
        return report

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]

    def tune(self, **changes: object) -> None:
        self.tuning = replace(self.tuning, **changes)  # type: ignore[arg-type]  # names are those of Tuning

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def _answer(self, question: Question) -> Answer:
        self.questions.append(question)
        if not self.answers:
            raise Cancelled
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes in which no two stretches are the same, the same ones each time."""
    return hashlib.shake_256(f"{size} {seed}".encode()).digest(size)


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """All below a local folder: files with their content, folders with None."""
    found: dict[str, bytes | None] = {}
    for path, _folders, files in os.walk(folder):
        below = Path(path).relative_to(folder).as_posix()
        if below != ".":
            found[f"{below}/"] = None
        for name in files:
            file = Path(path) / name
            found[file.relative_to(folder).as_posix()] = file.read_bytes()
    return found


def files_of(storage: StorageBackend, path: str = "") -> dict[str, bytes]:
    """All files below a folder of a storage, with their content; marked folders end in "/"."""
    found: dict[str, bytes] = {}
    for entry in storage.list(path, recursive=True):
        if entry.is_folder:
            found[f"{entry.name}/"] = b""
            continue
        with storage.open_reader(entry.path_in(path)) as reader:
            found[entry.name] = b"".join(reader.iter_chunks())
    return found


def put(storage: StorageBackend, path: str, content: bytes = b"x") -> None:
    """Write one file."""
    with storage.open_writer(path) as writer:
        writer.write(content)
