"""What a running job tells, and what it ends with: values, fit to cross a process border.

Progress comes as coalesced snapshots, at most ten a second, never one event per entry or chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kegbrowser.backends.base import Capabilities, ListEntry
from kegbrowser.backends.entries import Columns
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.uploads import IncompleteUpload


@dataclass(frozen=True, slots=True)
class PageListed(Columns):
    """A page of a listing."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What lies below some sources so far. `newest_utc` is the youngest file's time, None if unknown."""

    files: int
    folders: int
    bytes: int
    newest_utc: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or folder that could not be done, and why."""

    path: str
    error: StorageError


@dataclass(frozen=True, slots=True)
class RunningItem:
    """A file that is being moved right now; `item` is its number in the job, as the journal has it."""

    item: int
    name: str
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Checked:
    """How many of the files that are done ended in which state; together they are `files_done`."""

    verified: int = 0
    size_only: int = 0
    unverifiable: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; all numbers only grow but for `bytes_done`, which falls when a file starts anew.

    Attributes:
        files_total, bytes_total: what is planned so far; final once `is_planned`.
        files_done, files_skipped, files_failed: ended items; a folder that was made is not counted.
        bytes_done: of the finished and the running files.
        bytes_moved: all bytes that went over the wire, also of attempts that failed: for the speed.
        current: name of a file being moved, "" for none.
        failures: new since the last snapshot.
        bytes_resumed: of `bytes_done`, what an earlier run had moved.
        running: the files on their way, at most 32 of them.
        checked: how the files that are done were checked.
    """

    files_total: int = 0
    bytes_total: int = 0
    is_planned: bool = False
    files_done: int = 0
    files_skipped: int = 0
    files_failed: int = 0
    bytes_done: int = 0
    bytes_moved: int = 0
    current: str = ""
    failures: tuple[Failure, ...] = ()
    bytes_resumed: int = 0
    running: tuple[RunningItem, ...] = ()
    checked: Checked = Checked()


@dataclass(frozen=True, slots=True)
class JobReport:
    """How a job ended. It is done only if files and bytes equal the plan and nothing failed.

    Attributes:
        failures: at most 1,000 of them; `files_failed` counts all.
        check: by which checksums content was verified, as "CRC-32, MD5"; "" if by none.
        checked: how many files were verified, and how many were not.
        unchecked_reason: why some were not, the most frequent reason; "" if all were.
        bytes_resumed: of `bytes_done`, what an earlier run had moved.
    """

    files_total: int
    bytes_total: int
    files_done: int
    bytes_done: int
    files_skipped: int = 0
    files_failed: int = 0
    failures: tuple[Failure, ...] = ()
    check: str = ""
    checked: Checked = Checked()
    unchecked_reason: str = ""
    bytes_resumed: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """What "Test connection" found: one sentence, the folder to show first, and what the backend can do there."""

    message: str
    home: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class LocalPart:
    """A part file of a download that was not finished, at a local path."""

    path: str
    size_bytes: int
    modified_utc: datetime


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Unfinished transfers that were found: as an event those that are new, as a result all of them, as far as they are kept.

    Attributes:
        is_cut: there are more than these.
    """

    uploads: tuple[IncompleteUpload, ...] = ()
    local_parts: tuple[LocalPart, ...] = ()
    is_cut: bool = False


Event = PageListed | Counted | Progress | Leftovers
Result = JobReport | ConnectionReport | Counted | ListEntry | Leftovers | str | None
