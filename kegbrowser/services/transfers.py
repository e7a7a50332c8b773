"""The queue of everything that takes long: downloads, uploads, copies, moves, deletions. It outlives the program."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from kegbrowser.backends.errors import ConnectionLost, ServerFault, StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.backends.uploads import IncompleteUpload
from kegbrowser.services.errands import MOST_SINGLE_PAIRS, Errand, verify_transfer
from kegbrowser.services.jobs import JobRunner, JobThread, Lane
from kegbrowser.services.making import SpecSource
from kegbrowser.services.queue_store import QueueStore, Restored
from kegbrowser.services.recipes import Recipe, TransferDefaults, sources_of
from kegbrowser.services.speed import SpeedMeter
from kegbrowser.services.transfer import Transfer, TransferKind, TransferState
from kegbrowser.transfer.events import Counted, Event, JobReport, Progress
from kegbrowser.transfer.jobs import CleanUp, ConflictPolicy, Job
from kegbrowser.transfer.journal import JobState
from kegbrowser.transfer.questions import Answer, DeleteAnswer, Question
from kegbrowser.transfer.records import ItemRecord
from kegbrowser.worker.messages import PaceLimits

LONGEST_WAIT_S = 60
FIRST_WAIT_S = 2
DEATHS_THAT_FAIL = 3
"""So often a helper may die in one job without anything having been moved in between."""

_BRIEF_KINDS = (TransferKind.DELETE, TransferKind.RENAME, TransferKind.CLEAN_UP)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question of a running transfer that the window must answer by `TransferQueue.answer`."""

    transfer: Transfer
    question_id: int
    question: Question


@dataclass(slots=True)
class _Entry:
    """What the queue knows of a transfer besides what it tells.

    Attributes:
        job: None before it was started in this run of the program.
        row: its place in the journal; None where nothing is remembered.
        stop_as: what it becomes when its job ends as cancelled.
        losses, deaths: of the network, and of helpers, since something was moved.
    """

    transfer: Transfer
    recipe: Recipe | Errand
    speed: SpeedMeter
    job: JobThread | None = None
    row: Future[int] | None = None
    asked: dict[int, Question] = field(default_factory=dict)
    losses: int = 0
    deaths: int = 0
    moved: int = 0
    timer: QTimer | None = None

    @property
    def lane(self) -> Lane:
        return Lane.BROWSE if self.recipe.kind in _BRIEF_KINDS else Lane.TRANSFER


class TransferQueue(QObject):
    """Starts transfers, keeps their state, answers for them. GUI thread only.

    Each verb gives the id of the new transfer; where no policy is given it is that of `set_defaults`. Snapshots are told at most
    ten times a second for each. With a store, transfers are in the journal before they begin, and come back in the next run of
    the program: `restore`.
    """

    transfer_added = Signal(object)  # Transfer
    transfer_changed = Signal(object)  # Transfer
    transfer_ended = Signal(object)  # Transfer
    transfer_removed = Signal(int)  # transfer id
    transfers_arranged = Signal(object)  # tuple of transfer ids, in the order of the queue
    limits_changed = Signal(object)  # (bytes a second up, down), None for no limit
    prompt_raised = Signal(object)  # Prompt
    prompt_withdrawn = Signal(int, int)  # transfer id, question id
    folder_changed = Signal(object)  # RemotePath: its listing is out of date
    trouble_met = Signal(object)  # StorageError: transfers will not be remembered

    def __init__(
        self,
        runner: JobRunner,
        spec_source: SpecSource,
        parent: QObject | None = None,
        clock: Callable[[], float] = time.monotonic,
        store: QueueStore | None = None,
    ) -> None:
        super().__init__(parent)
        self._runner = runner
        self._spec_source = spec_source
        self._clock = clock
        self._store = store
        self._ids = count(1)
        self._entries: dict[int, _Entry] = {}
        self._sweeps: list[JobThread] = []
        self._defaults = TransferDefaults()
        self._up_limit: int | None = None
        self._down_limit: int | None = None
        self._is_closing = False
        if store is not None:
            queued = Qt.ConnectionType.QueuedConnection
            store.jobs_restored.connect(self._on_jobs_restored, queued)
            store.trouble_met.connect(self.trouble_met, queued)
        self._swept.connect(self._on_swept, Qt.ConnectionType.QueuedConnection)
        self._recalled.connect(self._on_recalled, Qt.ConnectionType.QueuedConnection)

    _swept = Signal(object, object)  # Recipe, tuple of ItemRecord: from the store's thread
    _recalled = Signal(
        object, bool, object
    )  # Recipe, whether to read whole, tuple of ItemRecord: from the store's thread

    # -- verbs -------------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Bring back what an earlier run of the program left, if no other window has it."""
        if self._store is not None:
            self._store.restore()

    def download(
        self,
        sources: tuple[RemotePath, ...],
        destination: str,
        policy: ConflictPolicy | None = None,
        *,
        rename_to: str = "",
    ) -> tuple[int, ...]:
        """Bring files and folders into a local folder; one transfer for each connection they are of."""
        kind = TransferKind.DOWNLOAD
        return tuple(
            self._add(self._recipe(kind, connection_id, sources_of(own), destination, "", policy, rename_to))
            for connection_id, own in _by_connection(sources).items()
        )

    def upload(
        self,
        sources: tuple[str, ...],
        target: RemotePath,
        policy: ConflictPolicy | None = None,
        *,
        rename_to: str = "",
    ) -> int:
        """Send local files and folders (absolute paths) into a remote folder."""
        paths = tuple((source, False) for source in sources)
        kind = TransferKind.UPLOAD
        return self._add(self._recipe(kind, target.connection_id, paths, target.path, "", policy, rename_to))

    def copy(
        self,
        sources: tuple[RemotePath, ...],
        target: RemotePath,
        policy: ConflictPolicy | None = None,
        *,
        move: bool = False,
        rename_to: str = "",
    ) -> tuple[int, ...]:
        """Copy or move files and folders into a folder of the same or another connection."""
        kind = TransferKind.MOVE if move else TransferKind.COPY
        return tuple(
            self._add(
                self._recipe(kind, connection_id, sources_of(own), target.path, target.connection_id, policy, rename_to)
            )
            for connection_id, own in _by_connection(sources).items()
        )

    def delete(self, sources: tuple[RemotePath, ...]) -> tuple[int, ...]:
        """Count, ask (a `Prompt` with a DeleteQuestion), then delete exactly what was counted."""
        return tuple(
            self._add(Recipe(TransferKind.DELETE, connection_id, sources_of(own)))
            for connection_id, own in _by_connection(sources).items()
        )

    def rename(self, source: RemotePath, target: RemotePath) -> int:
        """Give a file or folder another path in its connection; never overwrites."""
        return self._add(Recipe(TransferKind.RENAME, source.connection_id, sources_of((source,)), target.path))

    def run(self, errand: Errand) -> int:
        """Compare, write down or clean up something; see `errands`."""
        return self._add(errand)

    def verify_again(self, transfer_id: int, *, read_whole: bool = False) -> None:
        """Compare what an ended download or upload has moved with where it came from; a transfer of its own.

        Args:
            read_whole: files that the storage has no checksum of are read; else they are compared by size.
        """
        entry = self._entries.get(transfer_id)
        if entry is None or not can_verify(entry.transfer) or not isinstance(entry.recipe, Recipe):
            return
        if self._store is None or entry.row is None:
            self._on_recalled(entry.recipe, read_whole, ())
            return
        take = partial(self._recalled.emit, entry.recipe, read_whole)
        self._store.first_items(entry.row, MOST_SINGLE_PAIRS + 1, take)

    def cancel(self, transfer_id: int) -> None:
        """Stop a transfer and remove what is unfinished; it ends as CANCELLED within a second."""
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final:
            return
        self._withdraw_prompts(entry)
        self._stop_timer(entry)
        if entry.job is None:
            self._end(transfer_id, state=TransferState.CANCELLED)
            return
        self._change(entry, state=TransferState.STOPPING)
        self._runner.cancel(entry.job)

    def pause(self, transfer_id: int) -> None:
        """Hold a transfer where it is, until it is resumed; its place in the lane goes to the next one."""
        entry = self._entries.get(transfer_id)
        if (
            entry is None
            or entry.transfer.kind.is_errand
            or entry.transfer.state
            not in (
                TransferState.WAITING,
                TransferState.PREPARING,
                TransferState.RUNNING,
            )
        ):
            return
        self._stop_timer(entry)
        self._change(entry, state=TransferState.PAUSED, rate_bytes_per_s=0.0, remaining_s=None, notice="")
        if entry.job is not None:
            if self._runner.withdraw(entry.job):
                entry.job = None
            else:
                entry.job.set_pace(PaceLimits(paused=True))
                self._runner.rest(entry.job, resting=True)
        self._note(entry, JobState.PAUSED)
        self._share_limits()

    def resume(self, transfer_id: int) -> None:
        """Let a paused transfer go on, or one that waits for the network try at once."""
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state not in (TransferState.PAUSED, TransferState.WAITING):
            return
        if entry.transfer.state is TransferState.WAITING:
            if entry.timer is not None:
                self._start(entry)
            return
        if entry.job is None:
            self._start(entry)
            return
        entry.speed = SpeedMeter(self._clock)
        self._runner.rest(entry.job, resting=False)
        self._change(entry, state=TransferState.RUNNING)
        self._note(entry, JobState.RUNNING)
        self._share_limits()

    def pause_all(self) -> None:
        """Pause whatever can be paused."""
        for transfer_id in list(self._entries):
            self.pause(transfer_id)

    def resume_all(self) -> None:
        """Resume whatever is paused."""
        for transfer_id, entry in list(self._entries.items()):
            if entry.transfer.state is TransferState.PAUSED:
                self.resume(transfer_id)

    def retry(self, transfer_id: int) -> None:
        """Start an ended transfer again; what is done is passed over where the journal knows it."""
        entry = self._entries.get(transfer_id)
        if entry is None or not entry.transfer.state.is_final:
            return
        entry.losses = entry.deaths = entry.moved = 0
        entry.transfer = replace(entry.transfer, progress=Progress(), failures=(), error=None, report=None)
        self._start(entry)

    def retry_failed(self, transfer_id: int) -> None:
        """Try again what failed of a transfer that ended incomplete."""
        entry = self._entries.get(transfer_id)
        if entry is None or not entry.transfer.state.is_final:
            return
        if self._store is not None and entry.row is not None:
            self._store.reset_failed(entry.row)
        self.retry(transfer_id)

    def move(self, transfer_id: int, before_id: int | None) -> None:
        """Put a transfer before another one in the queue, or at its end; those that wait take their turns in that order."""
        entry = self._entries.get(transfer_id)
        if entry is None or transfer_id == before_id:
            return
        before = self._entries.get(before_id) if before_id is not None else None
        others = [one for one in self._entries if one != transfer_id]
        place = others.index(before_id) if before_id is not None and before is not None else len(others)
        order = [*others[:place], transfer_id, *others[place:]]
        self._entries = {one: self._entries[one] for one in order}
        self._runner.arrange(entry.lane, list(order))
        if self._store is not None and entry.row is not None:
            self._store.move(entry.row, before.row if before is not None else None)
        self.transfers_arranged.emit(tuple(order))

    def set_limits(self, up_bytes_per_s: int | None, down_bytes_per_s: int | None) -> None:
        """Limit the speed of all transfers together, from now on; None lifts a limit."""
        if (up_bytes_per_s, down_bytes_per_s) == self.limits:
            return
        self._up_limit, self._down_limit = up_bytes_per_s, down_bytes_per_s
        self._share_limits()
        self.limits_changed.emit(self.limits)

    def set_defaults(self, defaults: TransferDefaults) -> None:
        """How transfers that are asked for from now on are made."""
        self._defaults = defaults

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """Bytes a second up and down; None for none."""
        return self._up_limit, self._down_limit

    def export_files(self, transfer_id: int, path: str) -> None:
        """Write the list of a transfer's files, and what became of each, to a local file (CSV), on another thread."""
        entry = self._entries.get(transfer_id)
        if entry is not None and entry.row is not None and self._store is not None:
            self._store.export(entry.row, path)

    def remove(self, transfer_id: int) -> None:
        """Take an ended transfer off the list."""
        entry = self._entries.get(transfer_id)
        if entry is not None and entry.transfer.state.is_final:
            del self._entries[transfer_id]
            if self._store is not None and entry.row is not None:
                self._store.remove(entry.row)
            self.transfer_removed.emit(transfer_id)

    def remove_ended(self) -> None:
        """Take all that ended off the list."""
        for transfer_id in list(self._entries):
            self.remove(transfer_id)

    def answer(self, transfer_id: int, question_id: int, answer: Answer | None) -> None:
        """Answer a prompt; None dismisses it, which cancels the transfer."""
        entry = self._entries.get(transfer_id)
        if entry is None or entry.job is None or entry.asked.pop(question_id, None) is None:
            return
        if answer is None or (isinstance(answer, DeleteAnswer) and not answer.confirmed):
            entry.job.answer(question_id, None)
            return
        self._change(entry, state=TransferState.RUNNING)
        entry.job.answer(question_id, answer)

    def transfers(self) -> tuple[Transfer, ...]:
        """All of the list, in the order of the queue."""
        return tuple(entry.transfer for entry in self._entries.values())

    def is_busy(self) -> bool:
        """Whether anything is being done, or waits for its turn."""
        return any(
            not entry.transfer.state.is_final and entry.transfer.state is not TransferState.PAUSED
            for entry in self._entries.values()
        )

    def would_lose(self) -> bool:
        """Whether something would not go on by itself when the program starts again."""
        return any(
            not entry.transfer.state.is_final and (self._store is None or not entry.recipe.is_resumed)
            for entry in self._entries.values()
        )

    def shut_down(self) -> None:
        """Suspend everything that runs, and let the journal know how it stands. Blocks, some seconds at most."""
        self._is_closing = True
        for entry in self._entries.values():
            self._stop_timer(entry)
        self._runner.shut_down()
        if self._store is not None:
            for entry in self._entries.values():
                if entry.row is not None and not entry.transfer.state.is_final:
                    progress = replace(entry.transfer.progress, failures=(), running=())
                    self._store.note(entry.row, None, progress=progress)
            self._store.close()

    # -- what the jobs tell ------------------------------------------------------------------------------------------

    @Slot(object, object)
    def _on_event_received(self, transfer_id: int, event: Event) -> None:
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final:
            return
        is_stopping = entry.transfer.state is TransferState.STOPPING
        if isinstance(event, Counted):
            progress = replace(entry.transfer.progress, files_total=event.files, bytes_total=event.bytes)
            keeps = is_stopping or entry.transfer.state is TransferState.PAUSED
            state = entry.transfer.state if keeps else TransferState.PREPARING
            self._change(entry, progress=progress, state=state)
        elif isinstance(event, Progress):
            entry.speed.add(event.bytes_moved)
            state = entry.transfer.state
            if not is_stopping and not entry.asked and state is not TransferState.PAUSED:
                state = TransferState.RUNNING
            if event.bytes_moved:
                entry.losses = entry.deaths = 0
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
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final or self._is_closing:
            return
        is_away = isinstance(error, ConnectionLost) and error.retryable and entry.row is not None
        if is_away and entry.recipe.is_resumed and entry.transfer.state is not TransferState.STOPPING:
            self._wait_for_network(entry, error)
            return
        self._end(transfer_id, state=TransferState.FAILED, error=error)

    @Slot(object)
    def _on_job_cancelled(self, transfer_id: int) -> None:
        if not self._is_closing:  # else it was suspended
            self._end(transfer_id, state=TransferState.CANCELLED)

    @Slot(object)
    def _on_helper_died(self, transfer_id: int) -> None:
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final or self._is_closing:
            return
        if entry.transfer.state is TransferState.STOPPING:
            self._end(transfer_id, state=TransferState.CANCELLED)
            return
        entry.deaths += 1
        self._withdraw_prompts(entry)
        if not entry.recipe.is_resumed or entry.deaths >= DEATHS_THAT_FAIL:
            died = ServerFault(
                "The helper process that did this ended unexpectedly.",
                hint="Try again; what has arrived is not moved a second time.",
            )
            self._end(transfer_id, state=TransferState.FAILED, error=died)
            return
        entry.job = None
        if entry.transfer.state is TransferState.PAUSED:
            return
        self._start(entry, notice=self.tr("Its helper ended unexpectedly; it goes on in a new one."))

    @Slot(object)
    def _on_jobs_restored(self, restored: tuple[Restored, ...]) -> None:
        for one in restored:
            self._restore_one(one)

    @Slot(object, object)
    def _on_swept(self, recipe: Recipe, items: tuple[ItemRecord, ...]) -> None:
        """Remove what a cancelled transfer left at its target."""
        if not items:
            return
        job = self._runner.new_job(None, partial(_sweep, recipe, items, self._spec_source), recipe.connection_ids)
        self._sweeps.append(job)
        job.finished.connect(self._on_sweep_finished, Qt.ConnectionType.QueuedConnection)
        self._runner.submit(job, Lane.BROWSE)

    @Slot(object, bool, object)
    def _on_recalled(
        self, recipe: Recipe, read_whole: bool, items: tuple[ItemRecord, ...]
    ) -> None:  # as the signal gives it
        if not self._is_closing:
            self._add(verify_transfer(recipe, items, read_whole=read_whole))

    @Slot()
    def _on_sweep_finished(self) -> None:
        self._sweeps = [job for job in self._sweeps if not job.isFinished()]

    # -- private -----------------------------------------------------------------------------------------------------

    def _recipe(
        self,
        kind: TransferKind,
        connection_id: str,
        sources: tuple[tuple[str, bool], ...],
        target: str,
        target_connection_id: str,
        policy: ConflictPolicy | None,
        rename_to: str,
    ) -> Recipe:
        chosen = self._defaults
        policy = policy or chosen.policy
        rules = (policy, rename_to, chosen.links, chosen.keep_permissions)
        return Recipe(kind, connection_id, sources, target, target_connection_id, *rules)

    def _add(self, recipe: Recipe | Errand) -> int:
        transfer = recipe.transfer(next(self._ids))
        entry = _Entry(transfer, recipe, SpeedMeter(self._clock))
        self._entries[transfer.transfer_id] = entry
        if self._store is not None and isinstance(recipe, Recipe):
            entry.row = self._store.add(recipe)
        self.transfer_added.emit(transfer)
        self._start(entry)
        return transfer.transfer_id

    def _restore_one(self, restored: Restored) -> None:
        record, recipe = restored.record, restored.recipe
        if any(entry.row is not None and _is_row(entry.row, record.job_id) for entry in self._entries.values()):
            return  # it was added in this very run
        row: Future[int] = Future()
        row.set_result(record.job_id)
        transfer = replace(
            recipe.transfer(next(self._ids)),
            journal_id=record.job_id,
            added_utc=record.added_utc,
            progress=record.progress or Progress(),
            report=record.report,
            error=record.error,
            failures=record.report.failures if record.report is not None else (),
            state=_STATES.get(record.state, TransferState.WAITING),
        )
        entry = _Entry(transfer, recipe, SpeedMeter(self._clock), row=row)
        was_running = record.state is JobState.RUNNING or (record.state is JobState.WAITING and not recipe.is_resumed)
        if was_running and not recipe.is_resumed:
            interrupted = StorageError(
                self.tr("This was interrupted when the program ended."),
                hint=self.tr("Look what was done, then try again."),
            )
            entry.transfer = replace(transfer, state=TransferState.FAILED, error=interrupted)
        self._entries[transfer.transfer_id] = entry
        self.transfer_added.emit(entry.transfer)
        if not entry.transfer.state.is_final and entry.transfer.state is not TransferState.PAUSED:
            self._start(entry)

    def _start(self, entry: _Entry, *, notice: str = "") -> None:
        """Let it run as soon as its lane has room."""
        self._stop_timer(entry)
        transfer_id = entry.transfer.transfer_id
        entry.speed = SpeedMeter(self._clock)
        entry.job = self._new_job(transfer_id, entry)
        self._change(entry, state=TransferState.WAITING, rate_bytes_per_s=0.0, remaining_s=None, notice=notice)
        self._note(entry, JobState.WAITING)
        self._runner.submit(entry.job, entry.lane)
        self._runner.arrange(entry.lane, list(self._entries))
        self._share_limits()

    def _new_job(self, transfer_id: int, entry: _Entry) -> JobThread:
        make_job = partial(entry.recipe.make, self._spec_source)
        journal = None
        if self._store is not None and entry.recipe.is_resumed:
            journal = partial(self._store.place_of, entry.row)
        job = self._runner.new_job(transfer_id, make_job, entry.recipe.connection_ids, journal)
        queued = Qt.ConnectionType.QueuedConnection
        job.event_received.connect(self._on_event_received, queued)
        job.question_asked.connect(self._on_question_asked, queued)
        job.job_finished.connect(self._on_job_finished, queued)
        job.job_failed.connect(self._on_job_failed, queued)
        job.job_cancelled.connect(self._on_job_cancelled, queued)
        job.helper_died.connect(self._on_helper_died, queued)
        return job

    def _wait_for_network(self, entry: _Entry, error: StorageError) -> None:
        """Try again later, for as long as it takes."""
        entry.losses += 1
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (entry.losses - 1))
        entry.job = None
        notice = self.tr("%1 Trying again in %2 s.").replace("%1", error.message).replace("%2", str(wait_s))
        self._withdraw_prompts(entry)
        if entry.transfer.state is TransferState.PAUSED:
            return
        self._change(entry, state=TransferState.WAITING, rate_bytes_per_s=0.0, remaining_s=None, notice=notice)
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(partial(self.resume, entry.transfer.transfer_id))
        timer.start(wait_s * 1000)
        entry.timer = timer

    def _stop_timer(self, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.stop()
            entry.timer.deleteLater()
            entry.timer = None

    def _share_limits(self) -> None:
        """Give each running transfer its share of the speed."""
        running = [
            entry
            for entry in self._entries.values()
            if entry.job is not None
            and not entry.transfer.state.is_final
            and entry.transfer.state is not TransferState.PAUSED
            and not self._runner.is_waiting(entry.job)
        ]
        share = max(1, len(running))
        for entry in running:
            if entry.job is not None:
                entry.job.set_pace(
                    PaceLimits(
                        up_bytes_per_s=None if self._up_limit is None else max(1, self._up_limit // share),
                        down_bytes_per_s=None if self._down_limit is None else max(1, self._down_limit // share),
                    )
                )

    def _change(self, entry: _Entry, **changes: object) -> None:
        was = entry.transfer.state
        if entry.transfer.journal_id is None and entry.row is not None and entry.row.done():
            changes["journal_id"] = None if entry.row.exception() is not None else entry.row.result()
        if changes.get("state") is TransferState.RUNNING:
            changes.setdefault("notice", "")
        entry.transfer = replace(entry.transfer, **changes)  # type: ignore[arg-type]  # names are those of Transfer
        if entry.transfer.state is TransferState.RUNNING and was in (TransferState.WAITING, TransferState.PREPARING):
            self._note(entry, JobState.RUNNING)
            self._share_limits()
        self.transfer_changed.emit(entry.transfer)

    def _note(self, entry: _Entry, state: JobState) -> None:
        if self._store is not None and entry.row is not None:
            transfer = entry.transfer
            progress = replace(transfer.progress, failures=(), running=())
            self._store.note(entry.row, state, progress=progress, report=transfer.report, error=transfer.error)

    def _end(self, transfer_id: int, **changes: object) -> None:
        entry = self._entries.get(transfer_id)
        if entry is None or entry.transfer.state.is_final:
            return
        self._withdraw_prompts(entry)
        self._stop_timer(entry)
        self._change(entry, rate_bytes_per_s=0.0, remaining_s=None, notice="", **changes)
        self._note(entry, _JOB_STATES[entry.transfer.state])
        if entry.transfer.state is TransferState.CANCELLED and self._store is not None and entry.row is not None:
            self._store.unfinished(entry.row, partial(self._swept.emit, entry.recipe))
        self._share_limits()
        self.transfer_ended.emit(entry.transfer)
        for folder in entry.recipe.changed_folders():
            self.folder_changed.emit(folder)

    def _withdraw_prompts(self, entry: _Entry) -> None:
        for question_id in list(entry.asked):
            del entry.asked[question_id]
            self.prompt_withdrawn.emit(entry.transfer.transfer_id, question_id)


def can_verify(transfer: Transfer) -> bool:
    """Whether `TransferQueue.verify_again` has something to compare."""
    has_ended = transfer.state in (TransferState.DONE, TransferState.INCOMPLETE)
    return has_ended and transfer.kind in (TransferKind.DOWNLOAD, TransferKind.UPLOAD)


_JOB_STATES = {
    TransferState.DONE: JobState.DONE,
    TransferState.INCOMPLETE: JobState.INCOMPLETE,
    TransferState.FAILED: JobState.FAILED,
    TransferState.CANCELLED: JobState.CANCELLED,
}
_STATES = {
    JobState.PAUSED: TransferState.PAUSED,
    JobState.DONE: TransferState.DONE,
    JobState.INCOMPLETE: TransferState.INCOMPLETE,
    JobState.FAILED: TransferState.FAILED,
    JobState.CANCELLED: TransferState.CANCELLED,
}


def _is_row(row: Future[int], job_id: int) -> bool:
    return row.done() and row.exception() is None and row.result() == job_id


def _sweep(recipe: Recipe, items: tuple[ItemRecord, ...], spec_source: SpecSource) -> Job:
    """The job that removes what is left of these items."""
    if recipe.kind is TransferKind.DOWNLOAD:
        parts = tuple(item.token.partition(":")[2] for item in items)
        return CleanUp(None, local_parts=tuple(part for part in parts if part), confirmed=True)
    spec = spec_source(recipe.target_connection_id or recipe.connection_id)
    return CleanUp(spec, tuple(IncompleteUpload(item.place, item.token) for item in items), confirmed=True)


def _by_connection(paths: tuple[RemotePath, ...]) -> dict[str, tuple[RemotePath, ...]]:
    grouped: dict[str, tuple[RemotePath, ...]] = {}
    for path in paths:
        grouped[path.connection_id] = (*grouped.get(path.connection_id, ()), path)
    return grouped
