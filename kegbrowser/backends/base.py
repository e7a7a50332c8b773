"""The contract of a storage: what every backend does, by which names, with which promises.

The names, parameters and defaults of `FileMode`, `ListEntry`, `RemoteFile` and of `StorageBackend`'s `list`, `open`,
`delete`, `get` and `put` are those of the Keg-Storage 0.4.1 documentation; everything else comes after them.

Paths
-----
A path is text, relative to the backend's root, which is the empty text. Parts are joined by "/". **A folder's path is empty
or ends in "/"; what ends otherwise is a file.** Nothing is normalised: on object stores "a//b" is a file "b" in a folder with
an empty name in "a", "/x" is in a folder with an empty name at the root, and a file's own name may end in "/" (`open`, `stat`,
`delete`, `copy` and `rename` of files take such a key exactly). Methods that only take folders (`list`, `list_pages`,
`make_folder`, `delete_folder`) add the missing last "/" themselves. Where the root lists buckets or containers
(`Capabilities.containers_at_root`) the first part of a path is the bucket. SFTP and local names that are not UTF-8 come as
surrogate escapes (PEP 383).

Threads: one backend object may be used from several threads at once; all calls block. `interrupt()` may be called from
any thread and makes every blocking call on this object end within a second by raising `Cancelled`.
"""

from __future__ import annotations

import enum
import io
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.entries import EntryKind as EntryKind
from kegbrowser.backends.entries import ListEntry as ListEntry
from kegbrowser.backends.entries import Page as Page
from kegbrowser.backends.entries import as_folder as as_folder
from kegbrowser.backends.errors import FileNotFoundInStorageError, NotSupported, SourceChanged, StorageError
from kegbrowser.backends.one_by_one import read_one_by_one, write_one_by_one
from kegbrowser.backends.proofs import Digests
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec

DEFAULT_CHUNK_BYTES = 10 * 1024 * 1024


class FileMode(enum.Flag):
    """How a remote file is opened; `str()` gives the mode text (`rb`, `wb`, `rwb`)."""

    read = enum.auto()
    write = enum.auto()

    def __str__(self) -> str:
        letters = ("r" if FileMode.read in self else "") + ("w" if FileMode.write in self else "")
        return f"{letters}b"

    @classmethod
    def as_mode(cls, value: str | FileMode) -> FileMode:
        """Turn `rb`, `wb`, `rwb` (the `b` may be missing) or a FileMode into a FileMode.

        Raises:
            ValueError: the text is not a mode.
            TypeError: neither text nor a FileMode.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise TypeError(f"A mode is text or a FileMode, not {type(value).__name__}.")
        letters = set(value.removesuffix("b"))
        if not letters or letters - {"r", "w"} or len(letters) != len(value.removesuffix("b")):
            raise ValueError(f"“{value}” is not a file mode: use rb, wb or rwb.")
        mode = cls(0)
        for letter in letters:
            mode |= cls.read if letter == "r" else cls.write
        return mode


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What became of one path of `delete_files`; `error` is None if it is gone."""

    path: str
    error: StorageError | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do; the window enables its actions by it.

    Attributes:
        containers_at_root: the root lists buckets or containers; files cannot live there.
        create_containers: `make_folder("name/")` at such a root makes one.
        ranged_read: `open_reader(offset=, length=)` fetches only that range.
        parallel_parts: several readers or parts of one file at once are useful.
        rename: `rename` of a file is one server-side step, whatever its size.
        rename_folder: `rename` of a folder is one atomic step; else the engine moves file by file.
        server_copy: `copy` runs on the server; no bytes pass this machine.
        real_folders: folders exist by themselves, also empty ones; else they are prefixes and markers.
        set_modified: `open_writer(modified=)` is kept as the file's modification time.
        permissions: entries carry POSIX mode bits.
        versions: deleted or overwritten files can be brought back by the storage.
        share_links: a link that opens one file can be signed.
        resumable: `begin_upload` and what belongs to it work; else files are written by `open_writer` alone.
        links: symbolic links can be made by `make_link`.
        path_or_prefix: a name may be a file and a folder at once.
        max_name_bytes: length of one name in UTF-8; None if only the whole path is limited.
        max_path_bytes: length of a whole path in UTF-8; None if unknown.
    """

    containers_at_root: bool = False
    create_containers: bool = False
    ranged_read: bool = True
    parallel_parts: bool = False
    rename: bool = False
    rename_folder: bool = False
    server_copy: bool = False
    real_folders: bool = False
    set_modified: bool = False
    permissions: bool = False
    versions: bool = False
    share_links: bool = False
    resumable: bool = False
    links: bool = False
    path_or_prefix: bool = False
    max_name_bytes: int | None = None
    max_path_bytes: int | None = None


class RemoteFile(ABC):
    """Base of all remote files: a stream of bytes, read or written in order.

    A context manager. Leaving `with` normally closes, and a written file then appears whole, in one step; leaving it by an
    exception aborts, and nothing appears. A writer that is dropped without `close()` aborts and warns (ResourceWarning).

    Args:
        mode: what may be done with it.
    """

    def __init__(self, mode: FileMode) -> None:
        self.mode = mode
        self.closed = False

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; `b""` at the end and only there. `size` < 0 reads to the end.

        Raises:
            ValueError: closed.
            OSError: not opened for reading (`io.UnsupportedOperation`).
            StorageError: from the storage; `SourceChanged` if the file is no longer the one that was opened.
        """
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        """Append all of `data`. Nothing is visible at the path until `close()`.

        Raises:
            ValueError: closed.
            OSError: not opened for writing (`io.UnsupportedOperation`).
            StorageError: from the storage.
        """
        raise io.UnsupportedOperation("This file was not opened for writing.")

    @abstractmethod
    def close(self) -> None:
        """Finish: a written file appears now, whole, also an empty one. The second call does nothing.

        Raises:
            StorageError: the storage refused; the file was then aborted and nothing appears.
        """

    def abort(self) -> None:
        """Close without publishing what was written and remove all traces of it. On a reader: close."""
        self.close()

    def iter_chunks(self, chunk_size: int = DEFAULT_CHUNK_BYTES) -> Iterator[bytes]:
        """Read to the end in pieces of `chunk_size` bytes; only the last one may be shorter, none is empty.

        Raises:
            ValueError: `chunk_size` is less than one.
        """
        if chunk_size < 1:
            raise ValueError("A chunk has at least one byte.")
        while True:
            pieces: list[bytes] = []
            missing = chunk_size
            while missing > 0:
                piece = self.read(missing)
                if not piece:
                    break
                pieces.append(piece)
                missing -= len(piece)
            if pieces:
                yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if missing > 0:
                return

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_chunks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self.abort()


class StorageBackend(ABC):
    """A storage that files can be listed in, read from and written to.

    Args:
        name: how it is called in messages and logs.
    """

    capabilities: Capabilities = Capabilities()

    def __init__(self, name: str) -> None:
        self.name = name

    # -- the documented interface ------------------------------------------------------------------------------------

    def list(self, path: str, *, recursive: bool = False) -> list[ListEntry]:
        """List one level of a folder (or, `recursive`, all files and folders below it) into memory.

        Names are relative to `path`; folders are marked. The order is the server's. See `list_pages` for the errors.
        """
        return [entry for page in self.list_pages(path, recursive=recursive) for entry in page.entries]

    @abstractmethod
    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        """Open a file for reading or for writing.

        Reading asks the server at once, so a missing file is known here. Writing replaces an existing file, but only at
        `close()`.

        Raises:
            FileNotFoundInStorageError: reading, and there is no such file; writing, and the bucket is missing.
            NotSupported: reading and writing at once.
            PermissionDenied: the account may not.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete one file.

        Raises:
            FileNotFoundInStorageError: there was no such file.
            IsAFolder: the path is a folder's (only where folders are real).
        """

    def get(self, path: str, dest: str) -> None:
        """Download the file `path` to the local file `dest`; `dest` holds the old content or all of the new one.

        Raises:
            OSError: the local disk refused; not a StorageError.
        """
        target = Path(dest)
        part = target.with_name(f".{secrets.token_hex(8)}.kegpart")
        try:
            with self.open(path, FileMode.read) as source, part.open("xb") as sink:
                for chunk in source.iter_chunks():
                    sink.write(chunk)
                sink.flush()
                os.fsync(sink.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def put(self, path: str, dest: str) -> None:
        """Upload the local file `path` to the remote file `dest`."""
        with Path(path).open("rb") as source, self.open(dest, FileMode.write) as sink:
            shutil.copyfileobj(source, _Sink(sink), DEFAULT_CHUNK_BYTES)

    # -- listing -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        """Stream the listing of a folder as the server gives it; no page is empty unless the folder is.

        `recursive`: all below, files and (real or marked) folders, names relative to `path`; symbolic links are not followed.
        Empty folders of an object store (markers) are folders here; the marker of `path` itself is not an entry.

        Raises:
            FileNotFoundInStorageError: no such folder. Object stores know only that the bucket exists and that a prefix
                holds nothing; an empty prefix with no marker is not found, unless it is the root.
            NotAFolder: a file, where folders are real.
            PermissionDenied, AuthenticationFailed, ConnectionLost.
        """

    @abstractmethod
    def stat(self, path: str) -> ListEntry:
        """Describe one file or folder; the entry's `name` is the last part of the path.

        A path that ends in "/" asks for the folder. Where folders are not real, a key that ends in "/" and has content is
        told as a file only if there is nothing below it.

        Raises:
            FileNotFoundInStorageError: nothing there.
        """

    # -- reading and writing -----------------------------------------------------------------------------------------

    @abstractmethod
    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        """Open a file, or `length` bytes of it from `offset`, for reading.

        `etag`: raise `SourceChanged` if the file's mark is no longer this one. The range is cut at the file's end; an
        offset at or behind the end reads as empty.
        """

    @abstractmethod
    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        """Start writing a file; nothing is visible at `path` until `close()`.

        Args:
            size_bytes: final length if known; lets the part size grow with the file. More or fewer bytes may still come.
            overwrite: False makes `close()` raise `AlreadyExists` if the path is taken by then (S3, Azure: a conditional
                write; SFTP: a rename that does not clobber; where a server cannot, it is checked right before).
            modified: kept where `Capabilities.set_modified`.
            content_type: media type where the storage keeps one; guessed from the name if empty.
        """

    def digests(self, path: str, *, etag: str = "") -> Digests:
        """The checksums of a file's whole content that the storage knows; one request at most.

        Raises:
            FileNotFoundInStorageError: no such file.
            SourceChanged: its mark is no longer `etag`.
        """
        entry = self.stat(path)
        if etag and entry.etag and entry.etag != etag:
            raise SourceChanged(f"“{entry.name}” was changed meanwhile.", path=path)
        return Digests()

    # -- many small files --------------------------------------------------------------------------------------------

    def read_files(self, requests: Iterator[ReadRequest | None], in_flight: Callable[[], int]) -> Iterator[FileResult]:
        """Read many small files, many at once. One result for each request, in any order, as soon as it is there.

        Nothing is tried again here, but a request that a kept connection lost before any byte of its answer. A result's error
        is that file's; if the storage cannot be reached at all, each request is answered so.

        Args:
            requests: drawn from on the thread that iterates, while fewer than `in_flight()` are under way. It never blocks: it
                gives None when there is nothing to ask for right now, but may be in some milliseconds (it is asked again within
                20 ms), and ends when there is no more.
            in_flight: how many may be under way now; changes from call to call.

        Raises:
            Cancelled: interrupted.
        """
        return read_one_by_one(self, requests, in_flight)

    def write_files(
        self, requests: Iterator[WriteRequest | None], in_flight: Callable[[], int]
    ) -> Iterator[FileResult]:
        """Write many small files, many at once; as `read_files`. Each file appears whole, in one step, or not at all.

        A result's error `AlreadyExists`: the path is taken and `overwrite` was False. After a retryable error it is not known
        whether the file appeared.
        """
        return write_one_by_one(self, requests, in_flight)

    # -- uploads in parts --------------------------------------------------------------------------------------------

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        """Begin an upload in parts. At the server something may be there from now on, until it is committed or discarded.

        Raises:
            NotSupported: no `Capabilities.resumable`, or the file is too large for the storage.
            PermissionDenied, FileNotFoundInStorageError (the bucket, the folder), QuotaExceeded.
        """
        raise NotSupported(f"{self.name} takes no uploads in parts.", path=spec.path)

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        """Take up an upload that was begun with the same `spec`, perhaps by another process.

        Args:
            parts: what was sent, as remembered; the result's `parts` are those of them that the storage really has.

        Raises:
            FileNotFoundInStorageError: the storage knows nothing of it (any more).
        """
        raise NotSupported(f"{self.name} takes no uploads in parts.", path=spec.path)

    def incomplete_uploads(self, path: str) -> Iterator[IncompleteUpload]:
        """Uploads below a folder that were begun by anybody and not ended; only such as `discard_upload` can drop."""
        return iter(())

    def discard_upload(self, path: str, token: str) -> None:
        """Remove what is left of an upload; one that is not there is fine.

        Raises:
            StorageError: it may still be there.
        """
        raise NotSupported(f"{self.name} takes no uploads in parts.", path=path)

    # -- changing ----------------------------------------------------------------------------------------------------

    def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link.

        Raises:
            AlreadyExists: the path is taken.
            NotSupported: no `Capabilities.links`.
        """
        raise NotSupported(f"{self.name} holds no symbolic links.", path=path)

    def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
        """Delete many files, in batches where the service has them (S3: 1,000); one result for each path, in any order.

        A file that is already gone counts as deleted.
        """
        for path in paths:
            try:
                self.delete(path)
            except FileNotFoundInStorageError:
                yield DeleteResult(path)
            except StorageError as error:
                yield DeleteResult(path, error)
            else:
                yield DeleteResult(path)

    @abstractmethod
    def delete_folder(self, path: str) -> None:
        """Remove one empty folder: the directory, or an object store's marker (no marker: nothing to do).

        Raises:
            FolderNotEmpty: real folders only.
            FileNotFoundInStorageError: real folders only.
        """

    @abstractmethod
    def make_folder(self, path: str) -> None:
        """Make a folder (object stores: a marker; at a root of containers: a container). The parent must exist where folders
        are real.

        Raises:
            AlreadyExists: the folder, or where folders are real a file of that name, is there.
        """

    @abstractmethod
    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """Move a file, or a folder where `Capabilities.rename_folder`, within this storage.

        Never a moment at which neither is there: stores without a rename copy first, then delete.

        Raises:
            AlreadyExists: target taken and not `overwrite`.
            NotSupported: folder, and no `rename_folder`.
        """

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """Copy a file on the server.

        Raises:
            AlreadyExists: target taken and not `overwrite`.
            NotSupported: no `Capabilities.server_copy`.
        """
        raise NotSupported(f"{self.name} cannot copy on the server.", path=source)

    # -- the session -------------------------------------------------------------------------------------------------

    def check(self) -> str:
        """Connect and say in one sentence what was reached, for "Test connection"; raises what connecting raises."""
        for _page in self.list_pages(""):
            break
        return f"Connected to {self.name}."

    def home(self) -> str:
        """Folder to show first, as a path; the root unless the server says otherwise (SFTP: the login folder)."""
        return ""

    @abstractmethod
    def interrupt(self) -> None:
        """Make every call on this object, running or to come, raise `Cancelled` within a second. Any thread, any time."""

    @abstractmethod
    def shutdown(self) -> None:
        """Give back connections and threads. The object is not used afterwards; the second call does nothing."""


@dataclass(slots=True)
class _Sink:
    """What `copyfileobj` wants of a file: a `write` that says how much."""

    file: RemoteFile
    written: int = field(default=0)

    def write(self, data: bytes) -> int:
        self.file.write(data)
        self.written += len(data)
        return len(data)


def split_path(path: str) -> tuple[str, str]:
    """Split a path into its folder (a folder's path) and its last name; a folder's own "/" belongs to neither.

    `a/b` -> `("a/", "b")`; `a/b/` -> `("a/", "b")`; `a//` -> `("a/", "")`; `x` -> `("", "x")`.
    """
    bare = path[:-1] if path.endswith("/") else path
    folder, slash, name = bare.rpartition("/")
    return folder + slash, name
