"""Finds what unfinished transfers left behind, at a storage or on the local disk, and removes what nobody needs any more."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from kegbrowser.backends.base import split_path
from kegbrowser.backends.errors import Cancelled, NotSupported, StorageError
from kegbrowser.backends.uploads import IncompleteUpload
from kegbrowser.transfer.context import JobContext
from kegbrowser.transfer.events import Counted, JobReport, Leftovers, LocalPart
from kegbrowser.transfer.jobs import CleanUp, FindIncomplete, FindLocalParts
from kegbrowser.transfer.local_errors import local_error, local_errors
from kegbrowser.transfer.parallel import in_parallel
from kegbrowser.transfer.part_file import PART_ENDING
from kegbrowser.transfer.plan import WHOLE_JOB_ERRORS
from kegbrowser.transfer.progress import SNAPSHOT_S, Tracker
from kegbrowser.transfer.questions import DeleteAnswer, DeleteQuestion
from kegbrowser.transfer.retry import Attempts, retrying
from kegbrowser.transfer.tuning import Tuning

MOST = 100_000
NAMES_IN_QUESTION = 3
REMOVED_AT_ONCE = 8

_PART_NAME = re.compile(rf"\.(.*\.)?[0-9a-f]{{8}}([0-9a-f]{{8}})?{re.escape(PART_ENDING)}", re.DOTALL)


def find_incomplete(job: FindIncomplete, context: JobContext, tuning: Tuning) -> Leftovers:
    """Carry out a `FindIncomplete` job."""
    storage = context.open(job.spec)
    attempts = Attempts(tuning.retry, context.token)
    while True:
        finding = _Finding(context.emit)
        try:
            for upload in storage.incomplete_uploads(job.path):
                context.token.check()
                finding.add(upload)
        except StorageError as error:
            if finding.has_told:
                raise  # what was told would be told twice
            attempts.fail(error)
        else:
            return finding.finish()


def find_local_parts(job: FindLocalParts, context: JobContext) -> Leftovers:
    """Carry out a `FindLocalParts` job.

    Raises:
        StorageError: the folder cannot be read; one below it is passed over.
    """
    finding = _Finding(context.emit)
    for part in local_parts(job.folder):
        context.token.check()
        if part is not None:
            finding.add(part)
    return finding.finish()


def local_parts(folder: str) -> Iterator[LocalPart | None]:
    """The part files below a local folder; None for everything else, so that whoever asks can stop. No link is followed."""
    waiting = [os.path.abspath(folder)]
    is_first = True
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield _part_at(entry.path) if _PART_NAME.fullmatch(entry.name) else None
        except OSError as exc:
            if is_first:
                raise local_error(exc, "read the folder", path) from exc
        is_first = False


def clean_up(job: CleanUp, context: JobContext, tuning: Tuning) -> JobReport:
    """Carry out a `CleanUp` job."""
    storage = None if job.spec is None else context.open(job.spec)
    leftovers = [*_uploads(job), *_parts(job)]
    refused = _refused(leftovers, job, context)

    def discard(leftover: _Leftover) -> None:
        if leftover.local:
            _remove_part(leftover.path)
        elif storage is None:
            raise NotSupported(f"“{leftover.path}” has no connection to be removed by.", path=leftover.path)
        else:
            retrying(partial(storage.discard_upload, leftover.path, leftover.token), tuning.retry, context.token)

    with Tracker(context.emit) as tracker:
        for leftover in leftovers:
            tracker.plan(leftover.size_bytes)
        tracker.finish_plan()

        def remove(leftover: _Leftover, check: Callable[[], None]) -> None:
            check()
            context.token.check()
            if leftover.is_in_use or leftover in refused:
                tracker.skip(leftover.size_bytes)
                return
            progress = tracker.start(split_path(leftover.path)[1], leftover.size_bytes)
            try:
                discard(leftover)
            except (Cancelled, *WHOLE_JOB_ERRORS):
                raise
            except StorageError as error:
                progress.fail(leftover.path, error)
            else:
                progress.finish()

        in_parallel(leftovers, remove, min(REMOVED_AT_ONCE, len(leftovers)))
        return tracker.report()


@dataclass(frozen=True, slots=True)
class _Leftover:
    """Something to be removed. `touched_utc`: when somebody was at it last, as far as is known."""

    path: str
    token: str
    local: bool
    size_bytes: int | None
    touched_utc: datetime | None
    is_in_use: bool


class _Finding:
    """Collects what is found and tells it, at most ten times a second."""

    def __init__(self, emit: Callable[[Leftovers], None]) -> None:
        self._emit = emit
        self._all: list[IncompleteUpload | LocalPart] = []
        self._told = 0
        self._told_at = time.monotonic()
        self._is_cut = False

    @property
    def has_told(self) -> bool:
        return self._told > 0

    def add(self, found: IncompleteUpload | LocalPart) -> None:
        if len(self._all) >= MOST:
            self._is_cut = True
            return
        self._all.append(found)
        if time.monotonic() - self._told_at >= SNAPSHOT_S:
            self._tell()

    def finish(self) -> Leftovers:
        self._tell()
        return _as_leftovers(self._all, is_cut=self._is_cut)

    def _tell(self) -> None:
        if len(self._all) > self._told:
            self._emit(_as_leftovers(self._all[self._told :]))
            self._told = len(self._all)
        self._told_at = time.monotonic()


def _as_leftovers(found: list[IncompleteUpload | LocalPart], *, is_cut: bool = False) -> Leftovers:
    return Leftovers(
        tuple(one for one in found if isinstance(one, IncompleteUpload)),
        tuple(one for one in found if isinstance(one, LocalPart)),
        is_cut,
    )


def _uploads(job: CleanUp) -> Iterator[_Leftover]:
    for upload in job.uploads:
        yield _Leftover(
            upload.path,
            upload.token,
            local=False,
            size_bytes=upload.size_bytes,
            touched_utc=upload.begun_utc,
            is_in_use=upload.token in job.in_use,
        )


def _parts(job: CleanUp) -> Iterator[_Leftover]:
    # A download's token is the length of its ranges, a colon and the path of its part file.
    in_use = {path for token in job.in_use for path in (token, token.partition(":")[2])}
    for path in job.local_parts:
        found = _part_at(path)
        yield _Leftover(
            path,
            "",
            local=True,
            size_bytes=None if found is None else found.size_bytes,
            touched_utc=None if found is None else found.modified_utc,
            is_in_use=path in in_use or os.path.abspath(path) in in_use,
        )


def _refused(leftovers: list[_Leftover], job: CleanUp, context: JobContext) -> set[_Leftover]:
    """Those that are young and are to be left alone. Raises Cancelled."""
    if job.confirmed:
        return set()
    oldest = datetime.now(UTC) - timedelta(minutes=job.asks_below_minutes)
    young = [
        one
        for one in leftovers
        if not one.is_in_use and (one.touched_utc > oldest if one.touched_utc is not None else not one.local)
    ]
    if not young:
        return set()
    names = tuple(
        split_path(one.path)[1] if not one.local else os.path.basename(one.path)
        for one in islice(young, NAMES_IN_QUESTION)
    )
    newest = max((one.touched_utc for one in young if one.touched_utc is not None), default=None)
    counted = Counted(len(young), 0, sum(one.size_bytes or 0 for one in young), newest)
    answer = context.ask(DeleteQuestion(names, len(young), counted, can_be_undone=False))
    if not isinstance(answer, DeleteAnswer):
        raise Cancelled
    return set() if answer.confirmed else set(young)


def _part_at(path: str) -> LocalPart | None:
    """The part file at a path; None if it is something else, or gone."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    size = getattr(found, "st_blocks", 0) * 512 or found.st_size  # its space is reserved before it is filled
    return LocalPart(path, size, datetime.fromtimestamp(found.st_mtime, UTC))


def _remove_part(path: str) -> None:
    name = os.path.basename(path)
    with local_errors("remove", path):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return
        if not _PART_NAME.fullmatch(name) or not stat.S_ISREG(found.st_mode):
            raise NotSupported(f"“{name}” is not an unfinished download.", path=path)
        os.unlink(path)
