"""An object store in memory: keys, prefixes, markers, marks of versions. Shared by name within a process."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

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
    SourceChanged,
)

PAGE_ENTRIES = 1000
MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    modified: datetime
    etag: str
    content_type: str


@dataclass(slots=True)
class _Store:
    lock: threading.Lock = field(default_factory=threading.Lock)
    blobs: dict[str, _Blob] = field(default_factory=dict)


_stores: dict[str, _Store] = {}
_stores_lock = threading.Lock()


class MemoryStorage(StorageBackend):
    """Any thread. Two of the same `store` see the same files; an empty `store` is a new one of its own.

    Args:
        name: as it is called in messages.
        store: which content.
    """

    capabilities = Capabilities(
        parallel_parts=True, server_copy=True, set_modified=True, path_or_prefix=True, max_path_bytes=MAX_KEY_BYTES
    )

    def __init__(self, name: str = "memory", *, store: str = "") -> None:
        super().__init__(name)
        self._stop = threading.Event()
        with _stores_lock:
            self._store = _stores.setdefault(store, _Store()) if store else _Store()

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
        return _MemoryReader(blob.content[offset:end], self._stop)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        self._check()
        self._check_name(path)
        return _MemoryWriter(self, path, overwrite, modified, content_type)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self._check()
        folder = as_folder(path)
        with self._store.lock:
            blobs = {key: blob for key, blob in sorted(self._store.blobs.items()) if key.startswith(folder)}
        if folder and not blobs:
            raise FileNotFoundInStorageError(f"There is no folder “{path}”.", path=path)
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
        if (path.endswith("/") or not path) and (below or (blob is not None and not blob.content)):
            return ListEntry(name, None, 0, EntryKind.FOLDER)
        if blob is None:
            raise FileNotFoundInStorageError(f"Could not find “{path}”: it does not exist.", path=path)
        return _file_entry(name, blob)

    def delete(self, path: str) -> None:
        self._get(path, "delete")
        with self._store.lock:
            self._store.blobs.pop(path, None)

    def delete_folder(self, path: str) -> None:
        self._check()
        marker = as_folder(path)
        with self._store.lock:
            blob = self._store.blobs.get(marker)
            if blob is not None and not blob.content:
                del self._store.blobs[marker]

    def make_folder(self, path: str) -> None:
        self._check()
        marker = as_folder(path)
        self._check_name(marker)
        with self._store.lock:
            if any(key.startswith(marker) for key in self._store.blobs):
                raise AlreadyExists(f"The folder “{path.rstrip('/')}” exists already.", path=path)
            self._store.blobs[marker] = _blob(b"", None, "")

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        self.copy(source, target, overwrite=overwrite)
        self.delete(source)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        blob = self._get(source, "copy")
        self._put(target, blob, overwrite=overwrite)

    def interrupt(self) -> None:
        self._stop.set()

    def shutdown(self) -> None:
        return None

    # -- private -----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def _check_name(self, path: str) -> None:
        if not path or len(path.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
            raise InvalidName(
                f"“{path[:60]}” cannot be a name here: it is empty or longer than 1,024 bytes.", path=path
            )

    def _get(self, path: str, verb: str) -> _Blob:
        self._check()
        with self._store.lock:
            blob = self._store.blobs.get(path)
        if blob is None:
            raise FileNotFoundInStorageError(f"Could not {verb} “{path}”: it does not exist.", path=path)
        return blob

    def _put(self, path: str, blob: _Blob, *, overwrite: bool) -> None:
        self._check()
        with self._store.lock:
            if not overwrite and path in self._store.blobs:
                raise AlreadyExists(f"“{path}” exists already.", path=path)
            self._store.blobs[path] = blob


class _MemoryReader(RemoteFile):
    def __init__(self, content: bytes, stop: threading.Event) -> None:
        super().__init__(FileMode.read)
        self._content = io.BytesIO(content)
        self._stop = stop

    def read(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("The file is closed.")
        if self._stop.is_set():
            raise Cancelled
        return self._content.read(size)

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        self.closed = True


class _MemoryWriter(RemoteFile):
    def __init__(
        self, storage: MemoryStorage, path: str, overwrite: bool, modified: datetime | None, content_type: str
    ) -> None:
        super().__init__(FileMode.write)
        self._storage = storage
        self._path = path
        self._overwrite = overwrite
        self._modified = modified
        self._content_type = content_type
        self._pieces: list[bytes] = []

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
        self._storage._check()
        self._pieces.append(bytes(data))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        blob = _blob(b"".join(self._pieces), self._modified, self._content_type)
        self._storage._put(self._path, blob, overwrite=self._overwrite)

    def abort(self) -> None:
        self.closed = True
        self._pieces.clear()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"“{self._path}” was dropped without close: nothing is written", ResourceWarning, stacklevel=2
            )
            self.abort()


def _blob(content: bytes, modified: datetime | None, content_type: str) -> _Blob:
    etag = hashlib.blake2b(content, digest_size=16).hexdigest()
    return _Blob(content, modified or datetime.now(UTC), etag, content_type)


def _file_entry(name: str, blob: _Blob) -> ListEntry:
    return ListEntry(name, blob.modified, len(blob.content), etag=blob.etag, content_type=blob.content_type)


def _entries(blobs: dict[str, _Blob], folder: str, *, recursive: bool) -> Iterator[ListEntry]:
    told: set[str] = set()
    for key, blob in blobs.items():
        name = key[len(folder) :]
        is_marker = key.endswith("/") and not blob.content
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
