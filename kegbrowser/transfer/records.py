"""What the engine remembers of one job's files, so that a crash costs nothing; kept by `journal` in a file, or by nobody."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part


class JournalFailed(StorageError):
    """The journal itself cannot be written or read any more, as on a full disk: its job stops before anything is lost."""


class ItemState(enum.Enum):
    """Where one file of a job is. PLANNED -> MOVING -> DONE, SKIPPED or FAILED; a retry leads back to PLANNED."""

    PLANNED = "planned"
    MOVING = "moving"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SourceMark:
    """What stays the same as long as nobody changes a source.

    Attributes:
        size: bytes; -1 if unknown.
        modified_us: microseconds since 1970 UTC; -(2**63) if unknown.
        tag: a remote file's etag, a local one's "device:inode"; "" if there is none.
    """

    size: int
    modified_us: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """One file of a job as the journal has it.

    Attributes:
        item: its number in the job, from 0 in the order of the plan.
        source: path, as its side takes it.
        place: path at the target, as that side takes it.
        mark: of the source when it was planned.
        overwrite: what is at `place` may be replaced.
        token: what is unfinished at the target: an upload's token, or the part file's path; "" for nothing.
        proof: of DONE items.
        error: of FAILED items.
    """

    item: int
    source: str
    place: str
    mark: SourceMark
    overwrite: bool = False
    state: ItemState = ItemState.PLANNED
    token: str = ""
    proof: Proof | None = None
    error: StorageError | None = None


@dataclass(frozen=True, slots=True)
class ItemEnd:
    """How an item ended; `place` where it is now ("" leaves what was planned)."""

    state: ItemState
    place: str = ""
    proof: Proof | None = None
    error: StorageError | None = None


class JobJournal(Protocol):
    """The memory of one job, given to the engine by its context. Any thread.

    All but `begin` return at once: what they say is on disk within 100 ms (and in the order it was said), or when `flush`
    returns.

    Attributes:
        is_resumed: there was an earlier run of the job, so `find` is worth asking.
    """

    is_resumed: bool

    def find(self, source: str) -> ItemRecord | None:
        """What an earlier run knew of a source."""
        ...

    def plan(self, source: str, place: str, mark: SourceMark, *, overwrite: bool) -> int:
        """Note a file that is to be moved and give it its number.

        The same source keeps its number over runs, and its token and parts, until `begin` or `end`; its state is PLANNED again.
        """
        ...

    def begin(self, item: int, token: str, place: str) -> None:
        """Note that something unfinished is, or is about to be, at the target. On disk when it returns: it can be swept."""
        ...

    def add_part(self, item: int, part: Part) -> None:
        """Note a part (of an upload; of a download: a range at `number * part_bytes`) that was moved whole."""
        ...

    def parts(self, item: int) -> Mapping[int, Part]:
        """The parts that are noted of an item's newest `begin`."""
        ...

    def end(self, item: int, end: ItemEnd) -> None:
        """Note how it ended; forgets its token and parts. PLANNED: it begins anew, and nothing of it is left at the target."""
        ...

    def flush(self) -> None:
        """Wait until all is on disk."""
        ...


@dataclass(slots=True)
class NoJournal:
    """Remembers nothing but the numbers: for jobs that nobody will take up again."""

    is_resumed: bool = False
    _count: int = field(default=0)

    def find(self, source: str) -> ItemRecord | None:
        return None

    def plan(self, source: str, place: str, mark: SourceMark, *, overwrite: bool) -> int:
        self._count += 1
        return self._count - 1

    def begin(self, item: int, token: str, place: str) -> None:
        return None

    def add_part(self, item: int, part: Part) -> None:
        return None

    def parts(self, item: int) -> Mapping[int, Part]:
        return {}

    def end(self, item: int, end: ItemEnd) -> None:
        return None

    def flush(self) -> None:
        return None
