"""The quick things: connect, make a folder, describe, count. Each is a job; none of them blocks the window."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from PySide6.QtCore import QObject, Qt, Signal, Slot

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.services.jobs import JobRunner, JobThread, Lane
from kegbrowser.services.making import JobMaker, SpecSource
from kegbrowser.transfer.events import Event, Result
from kegbrowser.transfer.jobs import CheckConnection, Count, Describe, Job, MakeFolder, Source


class OperationKind(enum.Enum):
    """What an operation does, and its result."""

    CONNECT = "connect"  # ConnectionReport
    TEST = "test"  # ConnectionReport
    MAKE_FOLDER = "make folder"  # None
    DESCRIBE = "describe"  # ListEntry
    COUNT = "count"  # Counted


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `number` tells two of the same kind and path apart. `paths` is empty for TEST."""

    number: int
    kind: OperationKind
    paths: tuple[RemotePath, ...]

    @property
    def path(self) -> RemotePath:
        return self.paths[0]


class FileOperations(QObject):
    """Starts operations; each verb gives the operation that the signals will name. GUI thread only."""

    operation_progressed = Signal(object, object)  # Operation, Counted
    operation_finished = Signal(object, object)  # Operation, Result
    operation_failed = Signal(object, object)  # Operation, StorageError
    operation_cancelled = Signal(object)  # Operation
    folder_changed = Signal(object)  # RemotePath: its listing is out of date

    def __init__(self, runner: JobRunner, spec_source: SpecSource, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runner = runner
        self._spec_source = spec_source
        self._numbers = count(1)
        self._jobs: dict[Operation, JobThread] = {}

    def connect_to(self, connection_id: str) -> Operation:
        """Connect and find out what the connection can do and where to start."""
        root = RemotePath.folder(connection_id)
        return self._start(OperationKind.CONNECT, (root,), JobMaker(self._spec_source, connection_id, CheckConnection))

    def test(self, make_spec: Callable[[], ConnectionSpec]) -> Operation:
        """Try options that are not saved yet; `make_spec` is called on a worker thread."""
        return self._start(OperationKind.TEST, (), lambda: CheckConnection(make_spec()))

    def make_folder(self, parent: RemotePath, name: str) -> Operation:
        """Make a folder (at a root of containers: a container)."""
        path = parent.join(name, is_folder=True)
        make_job = JobMaker(self._spec_source, path.connection_id, lambda spec: MakeFolder(spec, path.path))
        return self._start(OperationKind.MAKE_FOLDER, (path,), make_job)

    def describe(self, path: RemotePath) -> Operation:
        """Fetch everything that is known of one file or folder."""
        make_job = JobMaker(self._spec_source, path.connection_id, lambda spec: Describe(spec, path.path))
        return self._start(OperationKind.DESCRIBE, (path,), make_job)

    def count(self, paths: tuple[RemotePath, ...]) -> Operation:
        """Count files and bytes below some paths of one connection."""
        sources = tuple(Source(path.path, path.is_folder) for path in paths)
        make_job = JobMaker(self._spec_source, paths[0].connection_id, lambda spec: Count(spec, sources))
        return self._start(OperationKind.COUNT, paths, make_job)

    def cancel(self, operation: Operation) -> None:
        """Stop an operation; does nothing if it has ended."""
        job = self._jobs.get(operation)
        if job is not None:
            self._runner.cancel(job)

    def _start(self, kind: OperationKind, paths: tuple[RemotePath, ...], make_job: Callable[[], Job]) -> Operation:
        operation = Operation(next(self._numbers), kind, paths)
        job = self._runner.new_job(operation, make_job, tuple({path.connection_id for path in paths}))
        queued = Qt.ConnectionType.QueuedConnection
        job.event_received.connect(self._on_event_received, queued)
        job.job_finished.connect(self._on_job_finished, queued)
        job.job_failed.connect(self._on_job_failed, queued)
        job.job_cancelled.connect(self._on_job_cancelled, queued)
        self._jobs[operation] = job
        self._runner.submit(job, Lane.BROWSE)
        return operation

    @Slot(object, object)
    def _on_event_received(self, operation: Operation, event: Event) -> None:
        if operation in self._jobs:
            self.operation_progressed.emit(operation, event)

    @Slot(object, object)
    def _on_job_finished(self, operation: Operation, result: Result) -> None:
        del self._jobs[operation]
        self.operation_finished.emit(operation, result)
        parent = operation.path.parent if operation.kind is OperationKind.MAKE_FOLDER else None
        if parent is not None:
            self.folder_changed.emit(parent)

    @Slot(object, object)
    def _on_job_failed(self, operation: Operation, error: StorageError) -> None:
        del self._jobs[operation]
        self.operation_failed.emit(operation, error)

    @Slot(object)
    def _on_job_cancelled(self, operation: Operation) -> None:
        del self._jobs[operation]
        self.operation_cancelled.emit(operation)
