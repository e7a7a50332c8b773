"""Blobs as streams of bytes."""

from __future__ import annotations

import io
import re

from azure.storage.blob import BlobServiceClient

from kegbrowser.backends.azure.calls import Body, Guard, blob_url, get_range
from kegbrowser.backends.azure.deeds import Deed
from kegbrowser.backends.azure.files import AzureFile
from kegbrowser.backends.azure.names import is_doubtful
from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import (
    ConnectionLost,
    FileNotFoundInStorageError,
    NotSupported,
    ServerFault,
    SourceChanged,
)

PIECE_BYTES = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class AzureReader(AzureFile):
    """Reads a range of a blob, by requests of `chunk_size` bytes. Any one thread at a time.

    The buffer is the connection's own (about 256 KiB), whatever the sizes: a range is asked for when the one before is used up,
    and read as it comes. Each range must be of the blob that was opened (`If-Match`); a body that ends early is an error.

    Args:
        offset, length: the range; None reads to the end.
        etag: raise SourceChanged if the blob's mark is not this one.

    Attributes:
        md5: of the whole blob, in Base64, as the service told it last; "" if it did not.
    """

    def __init__(
        self,
        container_name: str,
        path: str,
        mode: FileMode,
        service: BlobServiceClient,
        chunk_size: int = 10_485_760,
        *,
        offset: int = 0,
        length: int | None = None,
        etag: str = "",
        guard: Guard | None = None,
        shown_path: str | None = None,
    ) -> None:
        super().__init__(container_name, path, mode, service, chunk_size, guard=guard, shown_path=shown_path)
        if mode != FileMode.read:
            raise NotSupported("A reader reads.", path=path)
        if offset < 0 or (length is not None and length < 0):
            raise ValueError("A range begins and ends in the file.")
        if is_doubtful(path) and not etag:
            # Another blob might answer: see `names`.
            reason = "Azure keeps no file of this name"
            raise FileNotFoundInStorageError(self._deed("open", "read").sentence(reason), path=self._shown_path)
        self._etag = etag
        self.md5 = ""
        self._url = blob_url(service, container_name, path)
        self._next = offset
        self._end = offset + length if length is not None else None
        self._body: Body | None = None
        self._left_of_body = 0
        self._reading: Deed = self._deed("read", "read")
        with self._guard(self._deed("open", "read")):
            self._ask()
        self.closed = False

    def read(self, size: int) -> bytes:
        self._check_open()
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
        if not size:
            return b""
        with self._guard(self._reading):
            if not self._left_of_body and (self._end is None or self._next < self._end):
                self._ask()
            if self._body is None:
                return b""
            data: bytes = self._body.raw.read(min(size, self._left_of_body))
            if not data:
                self._drop()
                raise ConnectionLost(
                    self._reading.sentence("the connection broke in the middle"), path=self._shown_path
                )
        self._left_of_body -= len(data)
        self._next += len(data)
        if not self._left_of_body:
            self._give_back()
        return data

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._drop()

    def _ask(self) -> None:
        """Ask for the next range; the first answer tells the blob's size and mark."""
        last = self._next + self.chunk_size - 1
        if self._end is not None:
            last = min(last, self._end - 1)
        body = get_range(self._service, self._url, self._next, last, self._etag) if last >= self._next else None
        if body is None:  # empty, or behind the end: there, but nothing to read
            self._look()
            self._end = self._next
            return
        try:
            length = self._check(body, last)
        except ServerFault:
            body.raw.close()
            raise
        self._body, self._left_of_body = body, length
        if not length:
            self._give_back()

    def _check(self, body: Body, last: int) -> int:
        """How many bytes of the body are wanted; it must be the range that was asked for."""
        stated = body.headers.get("Content-Length", "")
        found = _CONTENT_RANGE.fullmatch(body.headers.get("Content-Range", "").strip())
        if found:
            first, until, total = (int(number) for number in found.groups())
            length = until - first + 1
        else:  # the whole blob
            first, length = (0 if body.status == 200 else -1), int(stated) if stated.isdecimal() else -1
            total = length
        is_sent_so = not stated or (stated.isdecimal() and int(stated) == length)
        # Azurite answers a range that begins at the end with an empty one, not with 416 as the service does.
        if first != self._next or length < (total > first) or not is_sent_so or (found and until > last):
            reason = "the server does not answer with the part that was asked for"
            raise ServerFault(self._reading.sentence(reason), path=self._shown_path, retryable=False)
        self.md5 = body.headers.get("x-ms-blob-content-md5") or (
            body.headers.get("Content-MD5", "") if body.status == 200 else ""
        )
        self._etag = self._etag or body.headers.get("ETag", "").strip('"')
        self._end = total if self._end is None else min(self._end, total)
        return min(length, self._end - self._next)

    def _look(self) -> None:
        """Whether the blob is there, and still the same."""
        facts = self._service.get_blob_client(self.container_name, self.path).get_blob_properties()
        found = str(facts.etag or "").strip('"')
        if self._etag and found != self._etag:
            raise SourceChanged(self._reading.sentence("it has changed meanwhile"), path=self._shown_path)

    def _give_back(self) -> None:
        """Let the connection be used for other requests."""
        if self._body is not None and self._body.raw.length_remaining:  # more than was asked for
            self._drop()
            return
        body, self._body = self._body, None
        if body is not None:
            body.raw.read()  # the end of a body in chunks; nothing else is left
            body.raw.release_conn()

    def _drop(self) -> None:
        """In the middle of an answer the connection cannot be used again."""
        body, self._body = self._body, None
        self._left_of_body = 0
        if body is not None:
            body.raw.close()
