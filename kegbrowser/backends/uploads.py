"""Uploads in parts that outlive the process: begun, sent in any order on any thread, taken up again, completed or dropped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from kegbrowser.backends.proofs import Proof


@dataclass(frozen=True, slots=True)
class Part:
    """A part that was sent whole.

    Attributes:
        number: from 0; part `n` begins at byte `n * part_bytes` of the file.
        size: bytes; `part_bytes` but for the last one.
        crc32: CRC-32 (zlib) of its content.
        tag: what the storage called it (S3: the ETag; Azure: the block's id; SFTP: "").
    """

    number: int
    size: int
    crc32: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class UploadSpec:
    """What is to be uploaded, and how.

    Attributes:
        path: target file, as the backend takes it.
        size_bytes: exact length.
        overwrite: False makes `commit` raise `AlreadyExists` where the path is taken.
        modified: kept where `Capabilities.set_modified`; UTC, None leaves it to the storage.
        permissions: POSIX mode bits, kept where `Capabilities.permissions`; None: the storage's own.
        content_type: guessed from the name if empty.
    """

    path: str
    size_bytes: int
    overwrite: bool = True
    modified: datetime | None = None
    permissions: int | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class IncompleteUpload:
    """An upload that was begun, by whomever, and neither completed nor dropped.

    Attributes:
        path: of the file it was to become, as the backend takes it.
        token: names it to `resume_upload` and `discard_upload`.
        begun_utc: None if unknown.
        size_bytes: what is there of it; None if unknown.
    """

    path: str
    token: str
    begun_utc: datetime | None = None
    size_bytes: int | None = None


class PartedUpload(ABC):
    """One upload in parts. `send` is called by several threads at once, all else by one; nothing is visible before `commit`.

    Exactly one of `commit`, `discard` and `leave` ends it; a second call of any of them does nothing.

    Attributes:
        token: names it for `StorageBackend.resume_upload`, after a crash as well. No secret; at most 1,024 letters.
        part_bytes: length of every part but the last; grows with the file so that the storage's limits hold it.
        parts: what the storage holds already, by number: empty for a new one; after `resume_upload` those of the parts it was
            given that the storage still has, exactly so.
        max_parallel: parts that are worth sending at once.
    """

    token: str
    part_bytes: int
    parts: Mapping[int, Part]
    max_parallel: int = 8

    @abstractmethod
    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        """Send one part whole; it may be sent again, and then replaces what was there.

        `content` is a bytes-like object. `on_sent` is called with a count of bytes right before they go out, in pieces of at
        most 256 KiB; it may wait (that is how the speed is limited) and may raise, and what it raises comes out.

        Raises:
            CheckFailed: the storage received something else; retryable.
            FileNotFoundInStorageError: the upload itself is gone; it must begin anew.
            StorageError: retryable or not; the other parts are not touched.
        """

    @abstractmethod
    def commit(self) -> Proof:
        """Let the file appear, whole, in one step, and say how its content was checked.

        Raises:
            AlreadyExists: the path is taken and may not be replaced; the upload can be committed no more, but be discarded.
            CheckFailed: what the storage put together differs, or parts are missing; nothing was published.
            StorageError: a retryable one may be tried again; whether the file appeared is not known then.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove all traces of it. Tries its best and does not raise; what could not be removed is logged."""

    @abstractmethod
    def leave(self) -> None:
        """Let go of it without removing what was sent: `resume_upload` will take it up."""
