"""Uploads in parts to a storage in memory: the store keeps what was sent, so that another object can take it up."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping

from kegbrowser.backends.errors import Cancelled, CheckFailed, FileNotFoundInStorageError
from kegbrowser.backends.memory.store import Blob, Pending, Store
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec

PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
SENT_BYTES = 256 * 1024


def part_bytes_for(size_bytes: int) -> int:
    """The length of parts, so that there are never more than `MAX_PARTS`."""
    return max(PART_BYTES, -(-size_bytes // MAX_PARTS))


class MemoryUpload(PartedUpload):
    """See `PartedUpload`.

    Args:
        publish: puts the whole content in its place, or raises.
        stop: set when the storage is interrupted.
    """

    def __init__(
        self,
        spec: UploadSpec,
        store: Store,
        token: str,
        parts: Mapping[int, Part],
        publish: Callable[[Blob], None],
        stop: threading.Event,
    ) -> None:
        self.token = token
        self._spec = spec
        self._store = store
        self._publish = publish
        self._stop = stop
        self._is_over = False
        with store.lock:
            pending = store.uploads.get(token)
            if pending is None or pending.path != spec.path:
                raise _gone(spec.path)
            self.part_bytes = pending.part_bytes
            held = {number: _part(number, content) for number, content in pending.parts.items()}
        self.parts = {number: part for number, part in held.items() if parts.get(number) == part}

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        if self._stop.is_set():
            raise Cancelled
        view = memoryview(content)
        for start in range(0, len(view), SENT_BYTES):
            on_sent(len(view[start : start + SENT_BYTES]))
        kept = bytes(view)
        with self._store.lock:
            pending = self._store.uploads.get(self.token)
            if pending is None:
                raise _gone(self._spec.path)
            pending.parts[number] = kept
        return _part(number, kept)

    def commit(self) -> Proof:
        if self._is_over:
            return Proof.verified("CRC-32")
        if self._stop.is_set():
            raise Cancelled
        with self._store.lock:
            pending = self._store.uploads.get(self.token)
        if pending is None:
            raise _gone(self._spec.path)
        content = b"".join(pending.parts[number] for number in sorted(pending.parts))
        if len(content) != self._spec.size_bytes:
            raise CheckFailed(
                f"Could not save “{self._spec.path}”: {len(content)} of {self._spec.size_bytes} bytes are there.",
                path=self._spec.path,
            )
        self._publish(Blob.of(content, modified=self._spec.modified, content_type=self._spec.content_type))
        self._forget()
        return Proof.verified("CRC-32")

    def discard(self) -> None:
        self._forget()

    def leave(self) -> None:
        self._is_over = True

    def _forget(self) -> None:
        if not self._is_over:
            self._is_over = True
            with self._store.lock:
                self._store.uploads.pop(self.token, None)


def begin(store: Store, path: str, token: str, size_bytes: int) -> None:
    """Make room for the parts of a new upload."""
    with store.lock:
        store.uploads[token] = Pending(path, part_bytes_for(size_bytes))


def _part(number: int, content: bytes) -> Part:
    return Part(number, len(content), zlib.crc32(content))


def _gone(path: str) -> FileNotFoundInStorageError:
    return FileNotFoundInStorageError(f"The upload of “{path}” is not there any more.", path=path)
