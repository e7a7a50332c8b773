"""The queue of everything that takes long: downloads, uploads, copies, moves, deletions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from PySide6.QtCore import QObject, Qt, Signal, Slot

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.registry import ConnectionSpec
from kegbrowser.services.jobs import JobRunner, JobThread, Lane
from kegbrowser.services.making import JobMaker, SpecSource
from kegbrowser.services.speed import SpeedMeter
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.transfer.events import Counted, Event, JobReport, Progress
from kegbrowser.transfer.jobs import (
    ConflictPolicy,
    Copy,
    Delete,
    Download,
    Job,
    Rename,
    Source,
    Upload,
)
from kegbrowser.transfer.questions import Answer, DeleteAnswer, Question


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question of a running transfer that the window must answer by `TransferQueue.answer`."""

    transfer: Transfer
    question_id: int
    question: Question


@dataclass(slots=True)
class _Entry:
    """What the queue knows of a transfer besides what it tells."""

    transfer: Transfer
    make_job: Callable[[], Job]
    connection_ids: tuple[str, ...]
    changes: tuple[RemotePath, ...]
    lane: Lane
    job: JobThread
    speed: SpeedMeter
    asked: dict[int, Question]


class TransferQueue(QObject):
    """Starts transfers, keeps their state, answers for them. GUI thread only.

    Each verb gives the id of the new transfer. Snapshots are told at most ten times a second for each.
    """

    transfer_added = Signal(object)  # Transfer
    transfer_changed = Signal(object)  # Transfer
    transfer_ended = Signal(object)  # Transfer
    transfer_removed = Signal(int)  # transfer id
    prompt_raised = Signal(object)  # Prompt
    prompt_withdrawn = Signal(int, int)  # transfer id, question id
    folder_changed = Signal(object)  # RemotePath: its listing is out of date

    def __init__(
        self,
        runner: JobRunner,
        spec_source: SpecSource,
        parent: QObject | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(parent)
        self._runner = runner
        self._spec_source = spec_source
        self._clock = clock
        self._ids = count(1)
        self._entries: dict[int, _Entry] = {}

    # -- verbs -------------------------------------------------------------------------------------------------------

    def download(
        self,
        sources: tuple[RemotePath, ...],
        destination: str,
        policy: ConflictPolicy = ConflictPolicy.ASK,
        *,
        rename_to: str = "",
    ) -> tuple[int, ...]:
        """Bring files and folders into a local folder; one transfer for each connection they are of."""
        ids: list[int] = []
        for connection_id, own in _by_connection(sources).items():
            make_job = JobMaker(
                self._spec_source,
                connection_id,
                partial(_download, own, destination, policy, rename_to),
            )
            transfer = self._new_transfer(TransferKind.DOWNLOAD, _title(own), own[0].parent, local_folder=destination)
            ids.append(self._add(transfer, make_job, (connection_id,), ()))
        return tuple(ids)

    def upload(
        self,
        sources: tuple[str, ...],
        target: RemotePath,
        policy: ConflictPolicy = ConflictPolicy.ASK,
        *,
        rename_to: str = "",
    ) -> int:
        """Send local files and folders (absolute paths) into a remote folder."""
        make_job = JobMaker(
            self._spec_source,
            target.connection_id,
            lambda spec: Upload(spec, sources, target.path, policy, rename_to),
        )
        names = tuple(source.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or source for source in sources)
        transfer = self._new_transfer(TransferKind.UPLOAD, names, target)
        return self._add(transfer, make_job, (target.connection_id,), (target,))

    def copy(
        self,
        sources: tuple[RemotePath, ...],
        target: RemotePath,
        policy: ConflictPolicy = ConflictPolicy.ASK,
        *,
        move: bool = False,
        rename_to: str = "",
    ) -> tuple[int, ...]:
        """Copy or move files and folders into a folder of the same or another connection."""
        ids: list[int] = []
        for connection_id, own in _by_connection(sources).items():
            make_job = _CopyMaker(self._spec_source, connection_id, own, target, policy, move, rename_to)
            kind = TransferKind.MOVE if move else TransferKind.COPY
            changes = {target} | ({source.parent for source in own if source.parent is not None} if move else set())
            transfer = self._new_transfer(kind, _title(own), target)
            connections = tuple(dict.fromkeys((connection_id, target.connection_id)))
            ids.append(self._add(transfer, make_job, connections, tuple(changes)))
        return tuple(ids)

    def delete(self, sources: tuple[RemotePath, ...]) -> tuple[int, ...]:
        """Count, ask (a `Prompt` with a DeleteQuestion), then delete exactly what was counted."""
        ids: list[int] = []
        for connection_id, own in _by_connection(sources).items():
            make_job = JobMaker(self._spec_source, connection_id, partial(_delete, own))
            changes = tuple({source.parent for source in own if source.parent is not None})
            transfer = self._new_transfer(TransferKind.DELETE, _title(own), own[0].parent)
            ids.append(self._add(transfer, make_job, (connection_id,), changes, Lane.BROWSE))
        return tuple(ids)

    def rename(self, source: RemotePath, target: RemotePath) -> int:
        """Give a file or folder another path in its connection; never overwrites."""
        make_job = JobMaker(
            self._spec_source,
            source.connection_id,
            lambda spec: Rename(spec, Source(source.path, source.is_folder), target.path),
        )
        changes = tuple({folder for folder in (source.parent, target.parent) if folder is not None})
        transfer = self._new_transfer(TransferKind.RENAME, (source.name,), target.parent)
        return self._add(transfer, make_job, (source.connection_id,), changes, Lane.BROWSE)

    def cancel(self, transfer_id: int) -> None:
        """Stop a transfer; it ends as CANCELLED within a second."""
        entry = self._entries.get(transfer_id)
        if entry is not None and not entry.transfer.state.is_final:
            self._change(entry, state=TransferState.STOPPING)
            self._withdraw_prompts(entry)
            self._runner.cancel(entry.job)

    def retry(self, transfer_id: int) -> None:
        """Start an ended transfer anew."""
        entry = self._entries.get(transfer_id)
        if entry is None or not entry.transfer.state.is_final:
            return
        entry.speed = SpeedMeter(self._clock)
        entry.transfer = replace(
            entry.transfer,
            state=TransferState.WAITING,
            progress=Progress(),
            failures=(),
            error=None,
            report=None,
            rate_bytes_per_s=0.0,
            remaining_s=None,
        )
        entry.job = self._new_job(transfer_id, entry.make_job, entry.connection_ids)
        self.transfer_changed.emit(entry.transfer)
        self._runner.submit(entry.job, entry.lane)

    def remove(self, transfer_id: int) -> None:
        """Take an ended transfer off the list."""
        entry = self._entries.get(transfer_id)
        if entry is not None and entry.transfer.state.is_final:
            del self._entries[transfer_id]
            self.transfer_removed.emit(transfer_id)

    def remove_ended(self) -> None:
        """Take all that ended off the list."""
        for transfer_id in list(self._entries):
            self.remove(transfer_id)

    def answer(self, transfer_id: int, question_id: int, answer: Answer | None) -> None:
        """Answer a prompt; None dismisses it, which cancels the transfer."""
        entry = self._entries.get(transfer_id)
        if entry is None or entry.asked.pop(question_id, None) is None:
            return
        if answer is None or (isinstance(answer, DeleteAnswer) and not answer.confirmed):
            entry.job.answer(question_id, None)
            return
        self._change(entry, state=TransferState.RUNNING)
        entry.job.answer(question_id, answer)

    def transfers(self) -> tuple[Transfer, ...]:
        """All of the list, oldest first."""
        return tuple(entry.transfer for entry in self._entries.values())

    def is_busy(self) -> bool:
        """Whether anything would be lost if the program ended now."""
        return any(not entry.transfer.state.is_final for entry in self._entries.values())

    # -- what the jobs tell ------------------------------------------------------------------------------------------

    @Slot(object, object)
    def _on_event_received(self, transfer_id: int, event: Event) -> None:
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final:
            return
        is_stopping = entry.transfer.state is TransferState.STOPPING
        if isinstance(event, Counted):
            progress = replace(entry.transfer.progress, files_total=event.files, bytes_total=event.bytes)
            self._change(
                entry, progress=progress, state=TransferState.STOPPING if is_stopping else TransferState.PREPARING
            )
        elif isinstance(event, Progress):
            entry.speed.add(event.bytes_moved)
            state = entry.transfer.state
            if not is_stopping and not entry.asked:
                state = TransferState.RUNNING
            self._change(
                entry,
                progress=replace(event, failures=()),
                failures=(*entry.transfer.failures, *event.failures),
                rate_bytes_per_s=entry.speed.rate_bytes_per_s,
                remaining_s=entry.speed.remaining_s(event) if event.is_planned else None,
                state=state,
            )

    @Slot(object, int, object)
    def _on_question_asked(self, transfer_id: int, question_id: int, question: Question) -> None:
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final or entry.transfer.state is TransferState.STOPPING:
            return
        entry.asked[question_id] = question
        self._change(entry, state=TransferState.ASKING)
        self.prompt_raised.emit(Prompt(entry.transfer, question_id, question))

    @Slot(object, object)
    def _on_job_finished(self, transfer_id: int, report: JobReport) -> None:
        state = TransferState.INCOMPLETE if report.files_failed else TransferState.DONE
        self._end(transfer_id, state=state, report=report, failures=report.failures)

    @Slot(object, object)
    def _on_job_failed(self, transfer_id: int, error: StorageError) -> None:
        self._end(transfer_id, state=TransferState.FAILED, error=error)

    @Slot(object)
    def _on_job_cancelled(self, transfer_id: int) -> None:
        self._end(transfer_id, state=TransferState.CANCELLED)

    # -- private -----------------------------------------------------------------------------------------------------

    def _new_transfer(
        self, kind: TransferKind, names: tuple[str, ...], folder: RemotePath | None, *, local_folder: str = ""
    ) -> Transfer:
        return Transfer(next(self._ids), kind, names, folder, local_folder)

    def _add(
        self,
        transfer: Transfer,
        make_job: Callable[[], Job],
        connection_ids: tuple[str, ...],
        changes: tuple[RemotePath, ...],
        lane: Lane = Lane.TRANSFER,
    ) -> int:
        job = self._new_job(transfer.transfer_id, make_job, connection_ids)
        entry = _Entry(transfer, make_job, connection_ids, changes, lane, job, SpeedMeter(self._clock), {})
        self._entries[transfer.transfer_id] = entry
        self.transfer_added.emit(transfer)
        self._runner.submit(job, lane)
        return transfer.transfer_id

    def _new_job(self, transfer_id: int, make_job: Callable[[], Job], connection_ids: tuple[str, ...]) -> JobThread:
        job = self._runner.new_job(transfer_id, make_job, connection_ids)
        queued = Qt.ConnectionType.QueuedConnection
        job.event_received.connect(self._on_event_received, queued)
        job.question_asked.connect(self._on_question_asked, queued)
        job.job_finished.connect(self._on_job_finished, queued)
        job.job_failed.connect(self._on_job_failed, queued)
        job.job_cancelled.connect(self._on_job_cancelled, queued)
        return job

    def _change(self, entry: _Entry, **changes: object) -> None:
        entry.transfer = replace(entry.transfer, **changes)  # type: ignore[arg-type]  # names are those of Transfer
        self.transfer_changed.emit(entry.transfer)

    def _end(self, transfer_id: int, **changes: object) -> None:
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final:
            return
        self._withdraw_prompts(entry)
        self._change(entry, rate_bytes_per_s=0.0, remaining_s=None, **changes)
        self.transfer_ended.emit(entry.transfer)
        for folder in entry.changes:
            self.folder_changed.emit(folder)

    def _withdraw_prompts(self, entry: _Entry) -> None:
        for question_id in list(entry.asked):
            del entry.asked[question_id]
            self.prompt_withdrawn.emit(entry.transfer.transfer_id, question_id)


@dataclass(frozen=True, slots=True)
class _CopyMaker:
    """Makes a copy job of two connections on the job's own thread."""

    spec_source: SpecSource
    connection_id: str
    sources: tuple[RemotePath, ...]
    target: RemotePath
    policy: ConflictPolicy
    move: bool
    rename_to: str

    def __call__(self) -> Job:
        spec, target_spec = self.spec_source(self.connection_id), self.spec_source(self.target.connection_id)
        sources = _as_sources(self.sources)
        return Copy(spec, sources, target_spec, self.target.path, self.move, self.policy, self.rename_to)


def _download(
    own: tuple[RemotePath, ...], destination: str, policy: ConflictPolicy, rename_to: str, spec: ConnectionSpec
) -> Job:
    return Download(spec, _as_sources(own), destination, policy, rename_to)


def _delete(own: tuple[RemotePath, ...], spec: ConnectionSpec) -> Job:
    return Delete(spec, _as_sources(own))


def _as_sources(paths: tuple[RemotePath, ...]) -> tuple[Source, ...]:
    return tuple(Source(path.path, path.is_folder) for path in paths)


def _by_connection(paths: tuple[RemotePath, ...]) -> dict[str, tuple[RemotePath, ...]]:
    grouped: dict[str, tuple[RemotePath, ...]] = {}
    for path in paths:
        grouped[path.connection_id] = (*grouped.get(path.connection_id, ()), path)
    return grouped


def _title(paths: tuple[RemotePath, ...]) -> tuple[str, ...]:
    return tuple(path.name for path in paths)
