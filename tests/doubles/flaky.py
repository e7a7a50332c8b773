"""A storage that fails as networks and servers do, around any other."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from kegbrowser.backends.base import ListEntry, Page, RemoteFile, StorageBackend
from kegbrowser.backends.errors import Cancelled, ConnectionLost, ServerFault, StorageError, Throttled
from kegbrowser.backends.proofs import Digests, Proof
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec


class Fault(enum.Enum):
    """What happens at one call."""

    NONE = "none"
    LOST = "lost"
    """The connection breaks before the server does anything."""
    ANSWER_LOST = "answer lost"
    """The server does it, and the connection breaks before it can say so."""
    THROTTLED = "throttled"
    BROKEN = "broken"


class FlakyBackend(StorageBackend):
    """Passes every call on; each takes the next fault. When there are no more, all goes well. Any thread.

    Attributes:
        unfinished: writers that were neither closed nor aborted.
    """

    def __init__(self, inner: StorageBackend, faults: Iterable[Fault]) -> None:
        super().__init__(inner.name)
        self.capabilities = inner.capabilities
        self.inner = inner
        self.unfinished = 0
        self._faults = iter(faults)
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def before(self) -> Fault:
        """Take a fault and raise it, if it is one of those that come before the deed."""
        if self._stop.is_set():
            raise Cancelled
        with self._lock:
            fault = next(self._faults, Fault.NONE)
        if fault in _BEFORE:
            raise _error(fault)
        return fault

    def count(self, change: int) -> None:
        with self._lock:
            self.unfinished += change

    def open(self, path: str, mode: object) -> RemoteFile:
        raise NotImplementedError

    def delete(self, path: str) -> None:
        fault = self.before()
        self.inner.delete(path)
        after(fault)

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        self.before()
        for page in self.inner.list_pages(path, recursive=recursive):
            for first in range(0, max(1, len(page.entries)), 3):
                yield Page(page.entries[first : first + 3])
                self.before()

    def stat(self, path: str) -> ListEntry:
        self.before()
        return self.inner.stat(path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        self.before()
        return _FlakyReader(self, self.inner.open_reader(path, offset=offset, length=length, etag=etag))

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        self.before()
        inner = self.inner.open_writer(
            path, size_bytes=size_bytes, overwrite=overwrite, modified=modified, content_type=content_type
        )
        return _FlakyWriter(self, inner)

    def digests(self, path: str, *, etag: str = "") -> Digests:
        self.before()
        return self.inner.digests(path, etag=etag)

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        self.before()
        return _FlakyUpload(self, self.inner.begin_upload(spec))

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        self.before()
        return _FlakyUpload(self, self.inner.resume_upload(spec, token, parts))

    def incomplete_uploads(self, path: str) -> Iterator[IncompleteUpload]:
        self.before()
        return self.inner.incomplete_uploads(path)

    def discard_upload(self, path: str, token: str) -> None:
        fault = self.before()
        self.inner.discard_upload(path, token)
        after(fault)

    def delete_folder(self, path: str) -> None:
        fault = self.before()
        self.inner.delete_folder(path)
        after(fault)

    def make_folder(self, path: str) -> None:
        fault = self.before()
        self.inner.make_folder(path)
        after(fault)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        fault = self.before()
        self.inner.rename(source, target, overwrite=overwrite)
        after(fault)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        fault = self.before()
        self.inner.copy(source, target, overwrite=overwrite)
        after(fault)

    def interrupt(self) -> None:
        self._stop.set()
        self.inner.interrupt()

    def shutdown(self) -> None:
        self.inner.shutdown()


class _FlakyReader(RemoteFile):
    def __init__(self, storage: FlakyBackend, inner: RemoteFile) -> None:
        super().__init__(inner.mode)
        self._storage = storage
        self._inner = inner

    def read(self, size: int) -> bytes:
        self._storage.before()
        return self._inner.read(size)

    def close(self) -> None:
        self.closed = True
        self._inner.close()


class _FlakyWriter(RemoteFile):
    def __init__(self, storage: FlakyBackend, inner: RemoteFile) -> None:
        super().__init__(inner.mode)
        self._storage = storage
        self._inner = inner
        storage.count(1)

    def write(self, data: bytes) -> None:
        self._storage.before()
        self._inner.write(data)

    def close(self) -> None:
        if self.closed:
            return
        try:
            fault = self._storage.before()
        except (StorageError, Cancelled):
            self.abort()
            raise
        self._end()
        self._inner.close()
        after(fault)

    def abort(self) -> None:
        if not self.closed:
            self._end()
            self._inner.abort()

    def _end(self) -> None:
        self.closed = True
        self._storage.count(-1)


class _FlakyUpload(PartedUpload):
    def __init__(self, storage: FlakyBackend, inner: PartedUpload) -> None:
        self._storage = storage
        self._inner = inner
        self._is_over = False
        self.token, self.part_bytes, self.parts = inner.token, inner.part_bytes, inner.parts
        self.max_parallel = inner.max_parallel
        storage.count(1)

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        fault = self._storage.before()
        part = self._inner.send(number, content, on_sent)
        after(fault)
        return part

    def commit(self) -> Proof:
        fault = self._storage.before()
        proof = self._inner.commit()
        if fault is Fault.NONE:
            self._end()
        after(fault)
        return proof

    def discard(self) -> None:
        self._end()
        self._inner.discard()

    def leave(self) -> None:
        self._end()
        self._inner.leave()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._storage.count(-1)


_BEFORE = (Fault.LOST, Fault.THROTTLED, Fault.BROKEN)


def after(fault: Fault) -> None:
    """Raise a fault that comes after the deed."""
    if fault is Fault.ANSWER_LOST:
        raise _error(fault)


def _error(fault: Fault) -> StorageError:
    if fault is Fault.THROTTLED:
        return Throttled("The server asks to slow down.", retry_after_s=0.001)
    if fault is Fault.BROKEN:
        return ServerFault("The server failed.")
    return ConnectionLost("The connection broke.")
