"""The course of every transfer: walk, decide, move, count, remember; and what a failure means for the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from kegbrowser.backends.errors import (
    Cancelled,
    ConnectionLost,
    FileNotFoundInStorageError,
    InvalidName,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    StorageError,
)
from kegbrowser.backends.proofs import Proof
from kegbrowser.transfer.adaptive import Concurrency, Slots
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.conflicts import Conflicts
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.jobs import ConflictPolicy, Source
from kegbrowser.transfer.parallel import Feed, Lane, Lanes
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, Found, FoundFile, FoundFolder, FoundLink, NotFound
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.records import ItemEnd, ItemRecord, ItemState, NoJournal, SourceMark
from kegbrowser.transfer.remembering import mark_of
from kegbrowser.transfer.tuning import Tuning

DENIALS_THAT_STOP = 3
LOSSES_THAT_STOP = 8

_DENIALS = (PermissionDenied, FileNotFoundInStorageError, QuotaExceeded, NotSupported)
_NO_MARK = SourceMark(-1, -(2**63))


@dataclass(frozen=True, slots=True)
class Move:
    """A file and the place it was decided to go to.

    Attributes:
        place: path as the target's side takes it.
        parts: the same as parts below the target; may differ from the file's own after a clash.
        overwrite: what is at the place may be replaced.
        item: its number in the job's journal.
        record: what an earlier run of the job knew of it; None if there was none.
        is_retried: an earlier try of this run may have written it, though it did not say so.
        resumes: what is at the place is to be gone on with, if it is found to be a beginning of the source.
    """

    file: FoundFile
    place: str
    parts: tuple[str, ...]
    overwrite: bool
    item: int = -1
    record: ItemRecord | None = None
    is_retried: bool = False
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file is at its place; `proof` is None where nothing was moved over the wire, as in a rename."""

    place: str
    proof: Proof | None = None


class Work:
    """What all parts of one running transfer share.

    Attributes:
        stop: cancelled with the job, and when a failure ends it; everything that waits or loops looks at it.
        slots: held by whatever moves a part of a large file.
        small: how many small files may be on their way.
        is_kept: somebody remembers the job, so what is unfinished is of use to a later run.
    """

    def __init__(self, context: JobContext, tuning: Tuning, tracker: Tracker, policy: ConflictPolicy) -> None:
        self.token = context.token
        self.journal = context.journal
        self.pace = context.pace
        self.stop = CancelToken()
        self.tuning = tuning
        self.tracker = tracker
        self.conflicts = Conflicts(context.ask, policy)
        self.guard = Guard()
        self.slots = Slots(Concurrency(tuning.parts, tuning.most_parts))
        self.small = Concurrency(tuning.small_in_flight, tuning.small_most)
        self.is_kept = not isinstance(self.journal, NoJournal)

    @property
    def keeps(self) -> bool:
        """Whether what is unfinished at this moment is to be kept, not removed: only of use once all is stopped."""
        return self.is_kept and (self.token.keeps if self.token.is_cancelled else self.stop.keeps)


class Batch(Protocol):
    """How a kind of transfer moves many small files at once."""

    def run(self, feed: Feed[Move]) -> None:
        """Move all that the feed gives."""
        ...


class Mover(Protocol):
    """One kind of transfer. `move` is called by several threads, all else by the one that plans."""

    def decide(self, file: FoundFile) -> Move | None:
        """Find the file's place; None leaves it out (and the tracker knows)."""
        ...

    def recall(self, file: FoundFile, record: ItemRecord) -> tuple[Move, bool]:
        """The move that an earlier run decided, and whether what it says is at its place now."""
        ...

    def make_folder(self, folder: FoundFolder) -> None:
        """Make an empty folder at the target."""
        ...

    def make_link(self, link: FoundLink) -> bool:
        """Make a link at the target; False if it was left out."""
        ...

    def move(self, move: Move, progress: FileProgress) -> Arrived | None:
        """Move one file; None if it was left out after all."""
        ...

    def batch(self, lanes: Lanes[Move]) -> Batch | None:
        """How small files are moved; None: one by one, by `move`."""
        ...


class Guard:
    """Tells a failure of one file from a failure of the whole job; any thread.

    10,000 files that all are refused for the same reason are one error, not 10,000.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_succeeded = False
        self._denials = 0
        self._last_denial: StorageError | None = None
        self._losses = 0

    def succeed(self) -> None:
        """A file arrived."""
        with self._lock:
            self._has_succeeded = True
            self._losses = 0

    def consider(self, error: StorageError, *, is_about_target: bool) -> None:
        """Raise `error` if going on is of no use."""
        if isinstance(error, WHOLE_JOB_ERRORS):
            raise error
        with self._lock:
            if isinstance(error, ConnectionLost):
                self._losses += 1
                if self._losses >= LOSSES_THAT_STOP:
                    raise error
            elif is_about_target and isinstance(error, _DENIALS) and not self._has_succeeded:
                if error is self._last_denial:
                    return  # another file of the folder that could not be made
                self._last_denial = error
                self._denials += 1
                if self._denials >= DENIALS_THAT_STOP:
                    raise error


def move_all(found: Iterator[Found], mover: Mover, work: Work) -> None:
    """Walk the sources on this thread and move what is found on others.

    Raises:
        Cancelled: and nothing unfinished is left at the target, but what the journal knows if it is to be kept.
        StorageError: the job as a whole cannot go on.
    """

    def carry_out(move: Move) -> None:
        _carry_out(move, mover, work)

    def carry_out_batch(feed: Feed[Move]) -> None:
        if batch is not None:
            batch.run(feed)

    lanes: Lanes[Move] = Lanes(work.token, work.stop, work.tuning, carry_out, carry_out_batch, keep=work.is_kept)
    batch = mover.batch(lanes)
    small_lane = Lane.SMALL if batch is None else Lane.BATCH
    small_bytes = work.tuning.small_file_bytes
    with lanes:
        for item in found:
            lanes.check()
            match item:
                case FoundFile():
                    planned = _decide(item, mover, work)
                    if planned is not None:
                        is_plain = not _is_begun(planned) and not planned.resumes
                        is_small = item.size is not None and item.size <= small_bytes and is_plain
                        lanes.put(planned, small_lane if is_small else Lane.LARGE)
                case FoundFolder():
                    _make_folder(item, mover, work)
                case FoundLink():
                    _make_link(item, mover, work)
                case NotFound(path, error):
                    work.tracker.fail(path, error, was_planned=False)
                    _note(path, ItemEnd(ItemState.FAILED, error=error), work)
        work.tracker.finish_plan()
        lanes.finish()
    work.journal.flush()


def more_than_one(sources: tuple[Source, ...] | tuple[str, ...]) -> bool:
    """Whether an answer "for all" may ever be of use."""
    return len(sources) > 1 or any(isinstance(source, str) or source.is_folder for source in sources)


def fail_item(move: Move, error: StorageError, work: Work) -> None:
    """Note that a file could not be done. Raises `error` if going on with others is of no use."""
    work.journal.end(move.item, ItemEnd(ItemState.FAILED, move.place, error=error))
    work.guard.consider(error, is_about_target=error.path == move.place)


def _carry_out(move: Move, mover: Mover, work: Work) -> None:
    name = move.parts[-1] if move.parts else move.place
    progress = work.tracker.start(name, move.file.size, move.item, is_shown=True)
    try:
        arrived = mover.move(move, progress)
    except Cancelled:
        progress.stop()
        raise
    except UnicodeEncodeError as exc:
        error = _unspeakable(move.file.path, exc)
        progress.fail(move.file.path, error)
        fail_item(move, error, work)
    except ConnectionLost as error:
        if work.is_kept:
            progress.stop()  # the network is away: what was moved is kept until it is back
            raise
        progress.fail(move.file.path, error)
        fail_item(move, error, work)
    except StorageError as error:
        progress.fail(move.file.path, error)
        fail_item(move, error, work)
    else:
        if arrived is None:
            progress.skip()
            work.journal.end(move.item, ItemEnd(ItemState.SKIPPED))
            return
        work.journal.end(move.item, ItemEnd(ItemState.DONE, arrived.place, arrived.proof))
        progress.finish(arrived.proof)
        work.guard.succeed()


def _decide(file: FoundFile, mover: Mover, work: Work) -> Move | None:
    """The file's move, planned; None if there is nothing to do about it."""
    work.tracker.plan(file.size)
    try:
        record = work.journal.find(file.path) if work.journal.is_resumed else None
        if record is not None and record.place:
            recalled, is_settled = _recall(file, record, mover, work)
            if is_settled:
                return None
            move = recalled or mover.decide(file)
        else:
            move = mover.decide(file)
    except UnicodeEncodeError as exc:
        error: StorageError = _unspeakable(file.path, exc)
        work.tracker.fail(file.path, error)
        _note(file.path, ItemEnd(ItemState.FAILED, error=error), work, file)
    except StorageError as error:
        work.tracker.fail(file.path, error)
        _note(file.path, ItemEnd(ItemState.FAILED, error=error), work, file)
        work.guard.consider(error, is_about_target=True)
    else:
        if move is None:
            _note(file.path, ItemEnd(ItemState.SKIPPED), work, file)
            return None
        # Whether what is there may be replaced is not known before it was compared: a later run decides anew.
        overwrite = move.overwrite and not move.resumes
        item = work.journal.plan(file.path, move.place, mark_of(file), overwrite=overwrite)
        return replace(move, file=file, item=item)
    return None


def _recall(file: FoundFile, record: ItemRecord, mover: Mover, work: Work) -> tuple[Move | None, bool]:
    """What an earlier run says of a file: its move, and whether the file is settled; no move: it must be decided anew."""
    is_same = record.mark == mark_of(file)
    if record.state is ItemState.SKIPPED and is_same:
        work.tracker.skip(file.size)
        return None, True
    move, is_intact = mover.recall(file, record)
    if record.state is ItemState.DONE:
        if is_intact and is_same:
            work.tracker.done_before(file.size, record.proof)
            return None, True
        # What is there is this job's own earlier version, or has been changed or removed by somebody since.
        return (replace(move, overwrite=True), False) if is_intact else (None, False)
    return move, False


def _is_begun(move: Move) -> bool:
    return move.record is not None and bool(move.record.token)


def _note(path: str, end: ItemEnd, work: Work, file: FoundFile | None = None) -> None:
    """Have the journal know of a file that is not moved."""
    item = work.journal.plan(path, "", _NO_MARK if file is None else mark_of(file), overwrite=False)
    work.journal.end(item, end)


def _make_folder(folder: FoundFolder, mover: Mover, work: Work) -> None:
    try:
        mover.make_folder(folder)
    except StorageError as error:
        work.tracker.fail(folder.path, error, was_planned=False)
        _note(folder.path, ItemEnd(ItemState.FAILED, error=error), work)
        work.guard.consider(error, is_about_target=True)


def _make_link(link: FoundLink, mover: Mover, work: Work) -> None:
    work.tracker.plan(0)
    try:
        is_made = link.is_wanted and mover.make_link(link)
    except WHOLE_JOB_ERRORS:
        raise
    except StorageError as error:
        work.tracker.fail(link.path, error)
        _note(link.path, ItemEnd(ItemState.FAILED, error=error), work)
    else:
        if is_made:
            work.tracker.start(link.parts[-1], 0).finish()
            work.guard.succeed()
        else:
            work.tracker.skip(0)
        _note(link.path, ItemEnd(ItemState.DONE if is_made else ItemState.SKIPPED), work)


def _unspeakable(path: str, exc: UnicodeEncodeError) -> InvalidName:
    name = path.rstrip("/").rpartition("/")[2].encode("utf-8", "backslashreplace").decode()
    error = InvalidName(f"The storage cannot hold the name “{name}”: it is not valid text.", path=path)
    error.__cause__ = exc
    return error
