"""The queue and the history of all transfers of a user, shared by all windows."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from kegbrowser.backends.errors import FileNotFoundInStorageError, StorageError
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.events import JobReport, Progress
from kegbrowser.transfer.journal.database import connect, journal_errors, prepare, transaction
from kegbrowser.transfer.journal.items import PAGE_ITEMS, ItemReader, decode, reset_failed
from kegbrowser.transfer.journal.job_journal import SqliteJobJournal
from kegbrowser.transfer.journal.locks import FileLock, is_alive, job_path, owner_path, sweep
from kegbrowser.transfer.journal.removing import Remover
from kegbrowser.transfer.journal.values import (
    ENDED,
    JobRecord,
    JobState,
    error_from_text,
    error_to_text,
    from_us,
    progress_from_text,
    progress_to_text,
    report_from_text,
    report_to_text,
    to_us,
)
from kegbrowser.transfer.records import ItemRecord, ItemState, JournalFailed

log = logging.getLogger(__name__)

MOST_ENDED_JOBS = 1000
MOST_ENDED_ITEMS = 3_000_000
"""The history is cut to these, oldest first; a million items take some 250 MB."""

ORPHAN_WAIT_S = 8.0
"""How long a helper waits for another that still cleans up the same job: longer than that one is given for it."""

_COLUMNS = "job_id, kind, recipe, state, added_us, started_us, ended_us, progress, report, error, owner"


class Journal:
    """The journal's file. Any process, any thread; blocks for some milliseconds, longer while another process writes.

    A context manager: leaving it closes it.

    Args:
        path: the file; made with its folder if it is missing. A damaged one is set aside beside it, never deleted.

    Attributes:
        notice: a sentence for the user if a damaged file was set aside; "" else.

    Raises:
        JournalFailed: a newer version of the program wrote it, or the disk refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks = path.with_name(f"{path.name}.locks")
        self.notice = prepare(path, self._locks)
        self._lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._remover = Remover(path, self._locks)
        with journal_errors(path):
            self._connection = connect(path)
            self._reading = connect(path)
        self._items = ItemReader(self._reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The second call does nothing."""
        self._remover.close()
        with self._lock, self._read_lock:
            self._connection.close()
            self._reading.close()

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def add(self, kind: str, recipe: Mapping[str, object]) -> int:
        """Put a job at the end of the queue and give its id, which no other job ever had or will have.

        Args:
            kind: what it is, as "upload".
            recipe: JSON values that say what to do, as ids of connections, sources, target; never a secret.
        """
        with self._changing() as connection:
            insert = (
                "INSERT INTO jobs (position, state, kind, recipe, added_us) "
                "VALUES ((SELECT ifnull(max(position), 0) + 1 FROM jobs), ?, ?, ?, ?)"
            )
            cursor = connection.execute(insert, (JobState.WAITING.value, kind, json.dumps(recipe), _now_us()))
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def jobs(self) -> list[JobRecord]:
        """All jobs, in the order of the queue."""
        with self._reads() as connection:
            select = f"SELECT {_COLUMNS} FROM jobs WHERE NOT is_removed ORDER BY position, job_id"
            return [_job(row) for row in connection.execute(select).fetchall()]

    def job(self, job_id: int) -> JobRecord | None:
        """One job; None if it was removed."""
        with self._reads() as connection:
            select = f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ? AND NOT is_removed"
            row = connection.execute(select, (job_id,)).fetchone()
            return None if row is None else _job(row)

    def change(
        self,
        job_id: int,
        state: JobState | None = None,
        *,
        progress: Progress | None = None,
        report: JobReport | None = None,
        error: StorageError | None = None,
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        """Note what has become of a job; None leaves what is noted. A job that was removed stays so.

        A new `state` sets the times that go with it and, but for FAILED and INCOMPLETE, clears the error; one that has not
        ended clears the report.
        """
        changes: dict[str, object] = {}
        if state is not None:
            changes |= _changes_of(state)
        if progress is not None:
            changes["progress"] = progress_to_text(progress)
        if report is not None:
            changes["report"] = report_to_text(report)
        if error is not None:
            changes["error"] = error_to_text(error)
        if recipe is not None:
            changes["recipe"] = json.dumps(recipe)
        if not changes:
            return
        names = ", ".join(f"{name} = ?" for name in changes)
        with self._changing() as connection:
            connection.execute(f"UPDATE jobs SET {names} WHERE job_id = ?", (*changes.values(), job_id))
            if state is JobState.RUNNING:
                started = "UPDATE jobs SET started_us = ifnull(started_us, ?) WHERE job_id = ?"
                connection.execute(started, (_now_us(), job_id))
        if state is not None and state.is_ended:
            self.forget_oldest()

    def move(self, job_id: int, before_job_id: int | None) -> None:
        """Put a job before another one in the queue; None: at its end."""
        with self._changing() as connection:
            select = "SELECT job_id, position FROM jobs WHERE NOT is_removed ORDER BY position, job_id"
            old = connection.execute(select).fetchall()
            order = [known for known, _position in old if known != job_id]
            if len(order) == len(old) or before_job_id == job_id:
                return
            order.insert(order.index(before_job_id) if before_job_id in order else len(order), job_id)
            was = dict(old)
            moved = [(place, known) for place, known in enumerate(order, 1) if was[known] != place]
            connection.executemany("UPDATE jobs SET position = ? WHERE job_id = ?", moved)

    def remove(self, job_id: int) -> None:
        """Forget a job and its items; ask for what is `unfinished` before. The items go on a thread of their own."""
        self._remove([job_id])

    # -- claims --------------------------------------------------------------------------------------------------------

    def new_owner(self) -> FileLock:
        """Make this process an owner of jobs, by `name`, until it calls `release` or ends, in whatever way."""
        with journal_errors(self.path):
            sweep(self._locks)
            return FileLock.new(self._locks)

    def claim(self, job_id: int, owner: str) -> bool:
        """Take a job for an owner; False if another living one has it, or it was removed. That of a dead owner is free."""
        with self._changing() as connection:
            select = "SELECT owner FROM jobs WHERE job_id = ? AND NOT is_removed"
            row = connection.execute(select, (job_id,)).fetchone()
            if row is None or (row[0] not in ("", owner) and is_alive(owner_path(self._locks, row[0]))):
                return False
            connection.execute("UPDATE jobs SET owner = ? WHERE job_id = ?", (owner, job_id))
            return True

    def unclaim(self, job_id: int, owner: str) -> None:
        """Let another owner take the job; does nothing if it is not this one's."""
        with self._changing() as connection:
            connection.execute("UPDATE jobs SET owner = '' WHERE job_id = ? AND owner = ?", (job_id, owner))

    def is_owner_alive(self, owner: str) -> bool:
        """Whether the process of an owner (`JobRecord.owner`) still runs; False for ""."""
        with journal_errors(self.path), self._lock:
            return bool(owner) and is_alive(owner_path(self._locks, owner))

    def is_running(self, job_id: int) -> bool:
        """Whether some process has the job open right now, perhaps to clean up after its window has gone."""
        with journal_errors(self.path):
            return is_alive(job_path(self._locks, job_id))

    def open_job(self, job_id: int, stop: CancelToken | None = None, wait_s: float = ORPHAN_WAIT_S) -> SqliteJobJournal:
        """Open the memory of a job for the process that runs it; nobody else can until it is closed or that process ends.

        Raises:
            FileNotFoundInStorageError: the job was removed.
            JournalFailed: another process still runs it, after `wait_s`; retryable. Or the disk refused.
            Cancelled: stopped while it waited.
        """
        with journal_errors(self.path):
            lock = FileLock.wait_for_lock(job_path(self._locks, job_id), wait_s, stop or CancelToken())
        if lock is None:
            raise JournalFailed(
                "This transfer is still being run by another process.", hint="Wait until it has ended.", retryable=True
            )
        try:
            if self.job(job_id) is None:
                raise FileNotFoundInStorageError("This transfer was removed from the list.", hint="")
            return SqliteJobJournal(self.path, job_id, lock)
        except BaseException:
            lock.release()
            raise

    # -- items ---------------------------------------------------------------------------------------------------------

    def items(
        self, job_id: int, first: int, count: int, states: Collection[ItemState] | None = None
    ) -> list[ItemRecord]:
        """A page of a job's items by number: `count` of those in one of `states` (None: of all), without the `first` ones."""
        with self._reads():
            return self._items.items(job_id, first, count, states)

    def item_counts(self, job_id: int) -> dict[ItemState, int]:
        """How many of a job's items are in each state."""
        with self._reads():
            return self._items.counts(job_id)

    def failures(self, job_id: int) -> Iterator[ItemRecord]:
        """All items that failed, by number, read as they are asked for."""
        return self.all_items(job_id, ItemState.FAILED)

    def all_items(self, job_id: int, *states: ItemState) -> Iterator[ItemRecord]:
        """All items in one of `states` (none given: all), by number, read as they are asked for."""
        last = -1
        while True:
            with self._reads():
                page = self._items.after(job_id, last, PAGE_ITEMS, states or tuple(ItemState))
            if not page:
                return
            yield from page
            last = page[-1].item

    def unfinished(self, job_id: int) -> Iterator[ItemRecord]:
        """All items that have left something unfinished at the target (`token`), by number, read as they are asked for."""
        last = -1
        while True:
            with self._reads():
                page = self._items.unfinished(job_id, above=last, count=PAGE_ITEMS)
            if not page:
                return
            yield from page
            last = page[-1].item

    def tokens_in_use(self) -> set[str]:
        """What unfinished things at the targets belong to jobs that may go on: all else of ours there is left over."""
        with self._reads() as connection:
            # The plus keeps it from reading all items of these jobs instead of those unfinished.
            select = "SELECT token FROM items WHERE token <> x'' AND +job_id IN (SELECT job_id FROM jobs WHERE NOT is_removed)"
            return {decode(token) for (token,) in connection.execute(select)}

    def parts_count(self, job_id: int, item: int) -> int:
        """How many parts of an item are noted."""
        with self._reads():
            return len(self._items.parts(job_id, item))

    def reset_failed(self, job_id: int) -> int:
        """Have all items that failed be planned again, for a run of "only failed"; gives how many. Not while the job runs."""
        with journal_errors(self.path), self._lock:
            return reset_failed(self._connection, job_id)

    # -- history -------------------------------------------------------------------------------------------------------

    def forget_oldest(self, keep: int = MOST_ENDED_JOBS, keep_items: int = MOST_ENDED_ITEMS) -> None:
        """Remove the oldest ended jobs until no more than so many are left, and those with no more than so many items."""
        ended = ", ".join(f"'{state.value}'" for state in ENDED)
        select = (
            "SELECT job_id, (SELECT ifnull(sum(planned + moving + done + skipped + failed), 0) FROM blocks "
            f"WHERE blocks.job_id = jobs.job_id) FROM jobs WHERE state IN ({ended}) AND NOT is_removed "
            "ORDER BY ended_us DESC, job_id DESC"
        )
        with self._reads() as connection:
            rows = connection.execute(select).fetchall()
            (is_unclean,) = connection.execute("SELECT EXISTS (SELECT * FROM jobs WHERE is_removed)").fetchone()
        too_many: list[int] = []
        items = 0
        for place, (job_id, count) in enumerate(rows):
            items += count
            if place >= keep or (items > keep_items and place > 0):
                too_many.append(job_id)
        if too_many or is_unclean:
            self._remove(too_many)

    def wait_removed(self) -> None:
        """Wait until the items of removed jobs are gone."""
        self._remover.wait()

    # -- inner ---------------------------------------------------------------------------------------------------------

    def _remove(self, job_ids: Sequence[int]) -> None:
        with self._changing() as connection:
            connection.executemany("UPDATE jobs SET is_removed = 1 WHERE job_id = ?", [(one,) for one in job_ids])
        self._remover.start()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with journal_errors(self.path), self._lock, transaction(self._connection) as connection:
            yield connection

    @contextmanager
    def _reads(self) -> Iterator[sqlite3.Connection]:
        with journal_errors(self.path), self._read_lock:
            yield self._reading


def _changes_of(state: JobState) -> dict[str, object]:
    """What a new state brings with it."""
    changes: dict[str, object] = {"state": state.value}
    if state.is_ended:
        changes["ended_us"] = _now_us()
    else:
        changes |= {"ended_us": None, "report": None}
    if state not in (JobState.FAILED, JobState.INCOMPLETE):
        changes["error"] = None
    return changes


def _now_us() -> int:
    return to_us(datetime.now(UTC))


def _job(
    row: tuple[int, str, str, str, int, int | None, int | None, str | None, str | None, str | None, str],
) -> JobRecord:
    job_id, kind, recipe, state, added_us, started_us, ended_us, progress, report, error, owner = row
    added = from_us(added_us)
    assert added is not None
    return JobRecord(
        job_id,
        kind,
        json.loads(recipe),
        JobState(state),
        added,
        from_us(started_us),
        from_us(ended_us),
        progress_from_text(progress),
        report_from_text(report),
        error_from_text(error),
        owner,
    )
