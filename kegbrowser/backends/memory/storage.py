"""An object store in memory: keys, prefixes, markers, marks of versions. Shared by name within a process."""

from __future__ import annotations

import secrets
import threading
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from kegbrowser.backends.base import (
    Capabilities,
    EntryKind,
    FileMode,
    ListEntry,
    Page,
    RemoteFile,
    StorageBackend,
    as_folder,
    split_path,
)
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    FileNotFoundInStorageError,
    InvalidName,
    NotSupported,
    PermissionDenied,
    SourceChanged,
)
from kegbrowser.backends.memory.files import MemoryReader, MemoryWriter
from kegbrowser.backends.memory.store import Blob, store_named
from kegbrowser.backends.memory.uploads import MemoryUpload, begin
from kegbrowser.backends.proofs import Digests
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec

PAGE_ENTRIES = 1000
MAX_KEY_BYTES = 1024


class MemoryStorage(StorageBackend):
    """Any thread. Two of the same `store` see the same files; an empty `store` is a new one of its own.

    Args:
        name: as it is called in messages.
        store: which content.
        read_only: every change is denied.
    """

    capabilities = Capabilities(
        parallel_parts=True,
        server_copy=True,
        set_modified=True,
        resumable=True,
        path_or_prefix=True,
        max_path_bytes=MAX_KEY_BYTES,
    )

    def __init__(self, name: str = "memory", *, store: str = "", read_only: bool = False) -> None:
        super().__init__(name)
        self._stop = threading.Event()
        self._store = store_named(store)
        self._read_only = read_only

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if wanted == FileMode.read:
            return self.open_reader(path)
        if wanted == FileMode.write:
            return self.open_writer(path)
        raise NotSupported(f"“{path}” can be opened for reading or for writing, not for both.", path=path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        blob = self._get(path, "open")
        if etag and blob.etag != etag:
            raise SourceChanged(f"“{path}” has changed.", path=path)
        end = len(blob.content) if length is None else offset + length
        return MemoryReader(blob.content[offset:end], self._stop)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        self._check_change(path, "save")

        def publish(content: bytes) -> None:
            self._put(path, Blob.of(content, modified=modified, content_type=content_type), overwrite=overwrite)

        return MemoryWriter(path, publish, self._stop)

    def digests(self, path: str, *, etag: str = "") -> Digests:
        blob = self._get(path, "look at")
        if etag and blob.etag != etag:
            raise SourceChanged(f"“{path}” has changed.", path=path)
        return Digests({"crc32": f"{zlib.crc32(blob.content):08x}"})

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        self._check_change(spec.path, "save")
        token = secrets.token_hex(8)
        begin(self._store, spec.path, token, spec.size_bytes)
        return self._upload(spec, token, {})

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        self._check()
        return self._upload(spec, token, parts)

    def _upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        def publish(blob: Blob) -> None:
            self._put(spec.path, blob, overwrite=spec.overwrite)

        return MemoryUpload(spec, self._store, token, parts, publish, self._stop)

    def incomplete_uploads(self, path: str) -> Iterator[IncompleteUpload]:
        self._check()
        with self._store.lock:
            found = [item for item in self._store.uploads.items() if item[1].path.startswith(as_folder(path))]
        for token, pending in found:
            size = sum(len(part) for part in pending.parts.values())
            yield IncompleteUpload(pending.path, token, pending.begun, size)

    def discard_upload(self, path: str, token: str) -> None:
        self._check()
        with self._store.lock:
            self._store.uploads.pop(token, None)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self._check()
        folder = as_folder(path)
        with self._store.lock:
            blobs = {key: blob for key, blob in sorted(self._store.blobs.items()) if key.startswith(folder)}
        if folder and not blobs:
            raise FileNotFoundInStorageError(f"Could not list “{path}”: there is no such folder.", path=path)
        entries = list(_entries(blobs, folder, recursive=recursive))
        for first in range(0, max(len(entries), 1), PAGE_ENTRIES):
            self._check()
            yield Page(tuple(entries[first : first + PAGE_ENTRIES]))

    def stat(self, path: str) -> ListEntry:
        self._check()
        name = split_path(path)[1]
        with self._store.lock:
            blob = self._store.blobs.get(path)
            below = not path or (
                path.endswith("/") and any(key.startswith(path) and key != path for key in self._store.blobs)
            )
        if (path.endswith("/") or not path) and (below or (blob is not None and blob.is_empty)):
            return ListEntry(name, None, 0, EntryKind.FOLDER)
        if blob is None:
            raise FileNotFoundInStorageError(f"Could not find “{path}”: it does not exist.", path=path)
        return _file_entry(name, blob)

    def delete(self, path: str) -> None:
        self._check_change(path, "delete")
        with self._store.lock:
            if self._store.blobs.pop(path, None) is None:
                raise _missing(path, "delete")

    def delete_folder(self, path: str) -> None:
        marker = as_folder(path)
        self._check_change(marker, "delete")
        with self._store.lock:
            blob = self._store.blobs.get(marker)
            if blob is not None and blob.is_empty:
                del self._store.blobs[marker]

    def make_folder(self, path: str) -> None:
        marker = as_folder(path)
        self._check_change(marker, "make")
        with self._store.lock:
            if any(key.startswith(marker) for key in self._store.blobs):
                raise AlreadyExists(f"The folder “{path.removesuffix('/')}” exists already.", path=path)
            self._store.blobs[marker] = Blob.of(b"")

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        self._check_change(source, "rename")
        self._move(source, target, "rename", overwrite=overwrite, keep=False)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        self._move(source, target, "copy", overwrite=overwrite, keep=True)

    def interrupt(self) -> None:
        self._stop.set()

    def shutdown(self) -> None:
        return None

    # -- private -----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def _check_change(self, path: str, verb: str) -> None:
        self._check()
        if not path or len(path.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
            raise InvalidName(
                f"Could not {verb} “{path[:60]}”: a name here has 1 to {MAX_KEY_BYTES:,} bytes.", path=path
            )
        if self._read_only:
            raise PermissionDenied(f"Could not {verb} “{path}”: {self.name} may only be read.", path=path)

    def _get(self, path: str, verb: str) -> Blob:
        self._check()
        with self._store.lock:
            blob = self._store.blobs.get(path)
        if blob is None:
            raise _missing(path, verb)
        return blob

    def _put(self, path: str, blob: Blob, *, overwrite: bool) -> None:
        self._check()
        with self._store.lock:
            if not overwrite and path in self._store.blobs:
                raise AlreadyExists(f"Could not save “{path}”: it exists already.", path=path)
            self._store.blobs[path] = blob

    def _move(self, source: str, target: str, verb: str, *, overwrite: bool, keep: bool) -> None:
        self._check_change(target, verb)
        with self._store.lock:
            blobs = self._store.blobs
            if source not in blobs:
                below = source.endswith("/") and any(key.startswith(source) for key in blobs)
                raise _no_folders(source, verb) if below else _missing(source, verb)
            if source == target:
                return
            if not overwrite and target in blobs:
                raise AlreadyExists(f"Could not {verb} “{source}”: “{target}” exists already.", path=target)
            blobs[target] = blobs[source]
            if not keep:
                del blobs[source]


def _missing(path: str, verb: str) -> FileNotFoundInStorageError:
    return FileNotFoundInStorageError(f"Could not {verb} “{path}”: it does not exist.", path=path)


def _no_folders(path: str, verb: str) -> NotSupported:
    return NotSupported(f"Could not {verb} “{path}”: a folder here cannot be moved or copied in one step.", path=path)


def _file_entry(name: str, blob: Blob) -> ListEntry:
    return ListEntry(name, blob.modified, len(blob.content), etag=blob.etag, content_type=blob.content_type)


def _entries(blobs: dict[str, Blob], folder: str, *, recursive: bool) -> Iterator[ListEntry]:
    told: set[str] = set()
    for key, blob in blobs.items():
        name = key[len(folder) :]
        is_marker = key.endswith("/") and blob.is_empty
        if not name and is_marker:
            continue
        if recursive:
            yield ListEntry(name[:-1], None, 0, EntryKind.FOLDER) if is_marker else _file_entry(name, blob)
            continue
        first, slash, _rest = name.partition("/")
        if not slash:
            yield _file_entry(name, blob)
        elif first not in told:
            told.add(first)
            yield ListEntry(first, None, 0, EntryKind.FOLDER)
