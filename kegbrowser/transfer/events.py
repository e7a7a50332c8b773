"""What a running job tells, and what it ends with: values, fit to cross a process border.

Progress comes as coalesced snapshots, at most ten a second, never one event per entry or chunk.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kegbrowser.backends.base import Capabilities, EntryKind, ListEntry
from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.uploads import IncompleteUpload

UNKNOWN = -(2**63)
"""Stands in an int64 column for a size or time that the storage does not tell."""

KIND_CODES = (EntryKind.FILE, EntryKind.FOLDER, EntryKind.CONTAINER, EntryKind.LINK)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PageListed:
    """A page of a listing as columns.

    Attributes:
        count: rows.
        names: joined by NUL (no protocol allows it in a name).
        sizes: int64 bytes in native order; UNKNOWN for none.
        modified_us: int64, microseconds since 1970 UTC, in native order; UNKNOWN for none.
        kinds: uint8, index into KIND_CODES.
        links: (row, target) of the few that are symbolic links.
    """

    count: int
    names: str
    sizes: bytes
    modified_us: bytes
    kinds: bytes
    links: tuple[tuple[int, str], ...] = ()

    @classmethod
    def from_entries(cls, entries: Sequence[ListEntry]) -> PageListed:
        return cls(
            len(entries),
            "\0".join([entry.name for entry in entries]),
            array("q", [UNKNOWN if entry.size is None else entry.size for entry in entries]).tobytes(),
            array("q", [_microseconds(entry.last_modified) for entry in entries]).tobytes(),
            bytes([_CODE_OF[entry.kind] for entry in entries]),
            tuple((row, entry.link_target) for row, entry in enumerate(entries) if entry.link_target),
        )

    def entries(self) -> Iterator[ListEntry]:
        """The rows as entries, with what the columns hold."""
        sizes, times = array("q", self.sizes), array("q", self.modified_us)
        links = dict(self.links)
        for row, name in enumerate(self.names.split("\0") if self.count else ()):
            yield ListEntry(
                name,
                None if times[row] == UNKNOWN else _EPOCH + timedelta(microseconds=times[row]),
                None if sizes[row] == UNKNOWN else sizes[row],
                KIND_CODES[self.kinds[row]],
                link_target=links.get(row, ""),
            )


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

_CODE_OF = {kind: code for code, kind in enumerate(KIND_CODES)}


def _microseconds(moment: datetime | None) -> int:
    return UNKNOWN if moment is None else (moment - _EPOCH) // _MICROSECOND
