"""Many small files at once: what goes in and what comes out of `StorageBackend.read_files` and `write_files`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kegbrowser.backends.errors import StorageError
from kegbrowser.backends.proofs import Proof

if TYPE_CHECKING:
    from kegbrowser.backends.base import ListEntry


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read a whole file.

    Attributes:
        key: the caller's own; comes back with the result.
        size: bytes, as it was listed; a file that is longer by more than 8 MiB is answered with `SourceChanged`.
        etag: `SourceChanged` if the file's mark is no longer this one; "" for any.
    """

    key: int
    path: str
    size: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Write a whole file, in one step, as `UploadSpec` says.

    Attributes:
        key: the caller's own; comes back with the result.
    """

    key: int
    path: str
    content: bytes
    overwrite: bool = True
    modified: datetime | None = None
    permissions: int | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a request: an `error`, or else the `proof`, and for a read the `content`.

    Attributes:
        entry: of a read: what was read (size, modification time and mark as far as the answer told); None for a write.
    """

    key: int
    error: StorageError | None = None
    content: bytes = b""
    proof: Proof | None = None
    entry: ListEntry | None = None
