"""A transfer as the window sees it: a snapshot, replaced as a whole whenever something changes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.locations import RemotePath
from kegbrowser.transfer.events import Failure, JobReport, Progress


class TransferKind(enum.Enum):
    """What a transfer does."""

    DOWNLOAD = "download"
    UPLOAD = "upload"
    COPY = "copy"
    MOVE = "move"
    RENAME = "rename"
    DELETE = "delete"
    VERIFY = "verify"
    MANIFEST = "manifest"
    CHECK = "check"  # against a manifest
    CLEAN_UP = "clean up"

    @property
    def is_errand(self) -> bool:
        """Whether it moves no file: it compares, writes down or cleans up, and is not paused nor taken up again."""
        return self in (TransferKind.VERIFY, TransferKind.MANIFEST, TransferKind.CHECK, TransferKind.CLEAN_UP)


class TransferState(enum.Enum):
    """Where a transfer is in its life; the last four are final, but a retry starts over at WAITING.

    WAITING -> PREPARING -> RUNNING <-> ASKING; WAITING, PREPARING, RUNNING <-> PAUSED; any of them -> STOPPING -> CANCELLED;
    RUNNING -> DONE, INCOMPLETE, FAILED, or back to WAITING when the network is away or a helper has died.
    """

    WAITING = "waiting"
    PREPARING = "preparing"
    RUNNING = "running"
    ASKING = "asking"
    PAUSED = "paused"
    STOPPING = "stopping"
    DONE = "done"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (
            TransferState.DONE,
            TransferState.INCOMPLETE,
            TransferState.FAILED,
            TransferState.CANCELLED,
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """A snapshot of one transfer.

    Attributes:
        transfer_id: unique in this run of the program.
        kind: what it does.
        names: of its sources, as chosen.
        folder: remote side: the target's folder, or for downloads and deletions where the sources are.
        local_folder: where a download goes; "" else.
        state: see TransferState.
        progress: the newest numbers, without failures.
        rate_bytes_per_s: now, smoothed; 0 while nothing moves.
        remaining_s: estimate; None while unknown.
        failures: items that could not be done.
        error: why all of it failed.
        report: how it ended, if it ended by itself.
        notice: why it waits, a sentence; "" if there is nothing to say.
        journal_id: its id in the journal; None while it has none.
        added_utc: when it was asked for.
    """

    transfer_id: int
    kind: TransferKind
    names: tuple[str, ...]
    folder: RemotePath | None
    local_folder: str = ""
    state: TransferState = TransferState.WAITING
    progress: Progress = field(default_factory=Progress)
    rate_bytes_per_s: float = 0.0
    remaining_s: float | None = None
    failures: tuple[Failure, ...] = ()
    error: StorageError | None = None
    report: JobReport | None = None
    notice: str = ""
    journal_id: int | None = None
    added_utc: datetime = field(default_factory=lambda: datetime.now(UTC))
