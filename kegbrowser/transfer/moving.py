"""The course of every transfer: walk, decide, move, count; and what a failure means for the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from kegbrowser.backends.errors import (
    ConnectionLost,
    FileNotFoundInStorageError,
    InvalidName,
    NotSupported,
    PermissionDenied,
    QuotaExceeded,
    StorageError,
)
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.conflicts import Conflicts
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.jobs import ConflictPolicy, Source
from kegbrowser.transfer.parallel import Lanes
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS, Found, FoundFile, FoundFolder, NotFound
from kegbrowser.transfer.progress import FileProgress, Tracker
from kegbrowser.transfer.tuning import Tuning

DENIALS_THAT_STOP = 3
LOSSES_THAT_STOP = 8

_DENIALS = (PermissionDenied, FileNotFoundInStorageError, QuotaExceeded, NotSupported)


@dataclass(frozen=True, slots=True)
class Move:
    """A file and the place it was decided to go to.

    Attributes:
        place: path as the target's side takes it.
        parts: the same as parts below the target; may differ from the file's own after a clash.
        overwrite: what is at the place may be replaced.
    """

    file: FoundFile
    place: str
    parts: tuple[str, ...]
    overwrite: bool


class Work:
    """What all parts of one running transfer share.

    Attributes:
        stop: cancelled with the job, and when a failure ends it; everything that waits or loops looks at it.
    """

    def __init__(self, context: JobContext, tuning: Tuning, tracker: Tracker, policy: ConflictPolicy) -> None:
        self.token = context.token
        self.stop = CancelToken()
        self.tuning = tuning
        self.tracker = tracker
        self.conflicts = Conflicts(context.ask, policy)
        self.guard = Guard()


class Mover(Protocol):
    """One kind of transfer. `decide` and `make_folder` are called by the thread that plans, `move` by several."""

    def decide(self, file: FoundFile) -> Move | None:
        """Find the file's place; None leaves it out (and the tracker knows)."""
        ...

    def make_folder(self, folder: FoundFolder) -> None:
        """Make an empty folder at the target."""
        ...

    def move(self, move: Move, progress: FileProgress) -> None:
        """Move one file and tell `progress` that it is finished or skipped."""
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
        Cancelled: and nothing unfinished is left at the target.
        StorageError: the job as a whole cannot go on.
    """
    tracker, guard = work.tracker, work.guard

    def carry_out(move: Move) -> None:
        progress = tracker.start(move.parts[-1] if move.parts else move.place, move.file.size)
        try:
            mover.move(move, progress)
        except UnicodeEncodeError as exc:
            progress.fail(move.file.path, _unspeakable(move.file.path, exc))
        except StorageError as error:
            progress.fail(move.file.path, error)
            guard.consider(error, is_about_target=error.path == move.place)
        else:
            guard.succeed()

    lanes: Lanes[Move]
    with Lanes(work.token, work.stop, work.tuning, carry_out) as lanes:
        for item in found:
            lanes.check()
            match item:
                case FoundFile():
                    planned = _decide(item, mover, work)
                    if planned is not None:
                        lanes.put(planned, is_large=(item.size or 0) > work.tuning.small_file_bytes)
                case FoundFolder():
                    _make_folder(item, mover, work)
                case NotFound(path, error):
                    tracker.fail(path, error, was_planned=False)
        tracker.finish_plan()
        lanes.finish()


def more_than_one(sources: tuple[Source, ...] | tuple[str, ...]) -> bool:
    """Whether an answer "for all" may ever be of use."""
    return len(sources) > 1 or any(isinstance(source, str) or source.is_folder for source in sources)


def _decide(file: FoundFile, mover: Mover, work: Work) -> Move | None:
    work.tracker.plan(file.size)
    try:
        return mover.decide(file)
    except UnicodeEncodeError as exc:
        work.tracker.fail(file.path, _unspeakable(file.path, exc))
    except StorageError as error:
        work.tracker.fail(file.path, error)
        work.guard.consider(error, is_about_target=True)
    return None


def _make_folder(folder: FoundFolder, mover: Mover, work: Work) -> None:
    try:
        mover.make_folder(folder)
    except StorageError as error:
        work.tracker.fail(folder.path, error, was_planned=False)
        work.guard.consider(error, is_about_target=True)


def _unspeakable(path: str, exc: UnicodeEncodeError) -> InvalidName:
    name = path.rstrip("/").rpartition("/")[2].encode("utf-8", "backslashreplace").decode()
    error = InvalidName(f"The storage cannot hold the name “{name}”: it is not valid text.", path=path)
    error.__cause__ = exc
    return error
