"""Blobs as files: ranges in, blocks out. Nothing is visible before the list of blocks is committed."""

from __future__ import annotations

import io
import secrets
import threading
import warnings
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from azure.core import MatchConditions
from azure.core.rest import HttpRequest
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ContentSettings

from kegbrowser.backends.azure.translate import refusal_of, server_of, shown, translated
from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import AlreadyExists, ConnectionLost, NotSupported, SourceChanged

MAX_BLOCKS = 50_000
IN_FLIGHT = 3
"""Blocks on their way at once; a writer holds (IN_FLIGHT + 1) x chunk_size bytes at most."""

Guard = Callable[[str, str], AbstractContextManager[None]]


class AzureFile(RemoteFile):
    """Base of the reader and the writer.

    Args:
        container_name: of the blob.
        path: the blob's exact name.
        mode: read or write; both at once are refused.
        service: the SDK's client of the account; not closed here.
        chunk_size: bytes of a range or block.
        guard: translates errors; made here for a bare client.
        known_as: the path as the caller knows it, for errors; the blob's name if None.
    """

    def __init__(
        self,
        container_name: str,
        path: str,
        mode: FileMode,
        service: BlobServiceClient,
        chunk_size: int = 10_485_760,
        *,
        guard: Guard | None = None,
        known_as: str | None = None,
    ) -> None:
        super().__init__(mode)
        self.closed = True
        if mode not in (FileMode.read, FileMode.write):
            raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)
        self.container_name = container_name
        self.path = path
        self.chunk_size = chunk_size
        self._service = service
        self._guard = guard or _bare_guard(service, container_name)
        self._known_as = path if known_as is None else known_as
        self._blob: BlobClient = service.get_blob_client(container_name, path)

    def close(self) -> None:
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("The file is closed.")


class AzureReader(AzureFile):
    """Reads a range of a blob, by requests of `chunk_size` bytes. Any one thread at a time.

    Args:
        offset, length: the range; None reads to the end.
        etag: raise SourceChanged if the blob's mark is not this one.
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
        known_as: str | None = None,
    ) -> None:
        super().__init__(container_name, path, mode, service, chunk_size, guard=guard, known_as=known_as)
        if mode != FileMode.read:
            raise NotSupported("A reader reads.", path=path)
        self._etag = etag
        self._next = offset
        self._end = offset + length if length is not None else None
        self._response: Any = None
        self._left_of_response = 0
        self.closed = False
        try:
            with self._guard("open", self._known_as):
                self._request()
        except BaseException:
            self.closed = True
            raise

    def read(self, size: int) -> bytes:
        self._check_open()
        if size < 0:
            return b"".join(iter(lambda: self.read(1024 * 1024), b""))
        with self._guard("read", self._known_as):
            if not self._left_of_response and self._end is not None and self._next < self._end:
                self._request()
            if not self._left_of_response or not size:
                return b""
            data: bytes = self._response.read(min(size, self._left_of_response))
            if not data:
                raise ConnectionLost(
                    f"The connection broke while “{shown(self._known_as)}” was read.", path=self._known_as
                )
        self._left_of_response -= len(data)
        self._next += len(data)
        if not self._left_of_response:
            self._let_go()
        return data

    def write(self, data: bytes) -> None:
        raise io.UnsupportedOperation("This file was not opened for writing.")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            response, self._response = self._response, None
            if response is not None:
                response.close()  # in the middle of an answer: the connection cannot be used again

    def _request(self) -> None:
        """Ask for the next range; the first answer tells the blob's size and mark."""
        end = self._next + self.chunk_size
        if self._end is not None:
            end = min(end, self._end)
        if end <= self._next:  # an empty range: only whether the blob is there
            self._find_out_size()
            self._end = self._next
            return
        headers = {"x-ms-range": f"bytes={self._next}-{end - 1}", "x-ms-version": str(self._service.api_version)}
        if self._etag:
            headers["If-Match"] = f'"{self._etag}"'
        request = HttpRequest("GET", self._blob.url, headers=headers)
        answer: Any = self._service._pipeline.run(request, stream=True).http_response
        if answer.status_code == 416:
            answer.close()
            self._find_out_size()
            self._end = self._next
            return
        if answer.status_code not in (200, 206):
            raise self._refused(answer)
        self._take(answer)

    def _take(self, answer: Any) -> None:
        self._etag = str(answer.headers.get("ETag", "")).strip('"')
        _range, _slash, total = str(answer.headers.get("Content-Range", "")).partition("/")
        length = int(answer.headers["Content-Length"])
        size = int(total) if total else length
        self._end = size if self._end is None else min(self._end, size)
        self._response = answer.internal_response.raw
        self._left_of_response = length

    def _find_out_size(self) -> None:
        properties = self._blob.get_blob_properties()
        found = str(properties.etag).strip('"')
        if self._etag and found != self._etag:
            raise SourceChanged(f"“{shown(self._known_as)}” has changed.", path=self._known_as)
        if self._end is None:
            self._end = int(properties.size)

    def _refused(self, answer: Any) -> Exception:
        text = answer.internal_response.content.decode("utf-8", "replace")[:4000]
        code = str(answer.headers.get("x-ms-error-code", ""))
        if not code and "<Code>" in text:
            code = text.partition("<Code>")[2].partition("</Code>")[0]
        retry_after = str(answer.headers.get("Retry-After", ""))
        return refusal_of(answer.status_code, code, text, retry_after, "open", self._known_as, self.container_name)

    def _let_go(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.release_conn()


class AzureWriter(AzureFile):
    """Writes a blob in blocks of `chunk_size` bytes, or in one request if it is smaller. Any one thread at a time.

    No call begins the upload: the first block does. What was sent of an aborted one is not visible, and the service drops it
    after a week ("Put Block").

    Args:
        overwrite: False makes `close` raise AlreadyExists if the blob is there.
        content_type: as stored; "" leaves the service's own.
    """

    def __init__(
        self,
        container_name: str,
        path: str,
        mode: FileMode,
        service: BlobServiceClient,
        chunk_size: int = 4_194_304,
        *,
        overwrite: bool = True,
        content_type: str = "",
        guard: Guard | None = None,
        known_as: str | None = None,
    ) -> None:
        super().__init__(container_name, path, mode, service, chunk_size, guard=guard, known_as=known_as)
        if mode != FileMode.write:
            raise NotSupported("A writer writes.", path=path)
        self._overwrite = overwrite
        self._content_type = content_type
        # All ids of a blob must have the same length, and two writers must not touch each other's blocks ("Put Block").
        self._prefix = secrets.token_hex(8)
        self._blocks: list[str] = []
        self._buffer = bytearray()
        self._pool: ThreadPoolExecutor | None = None
        self._flying: deque[Future[None]] = deque()
        self._lock = threading.Lock()
        self.closed = False

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        self._check_open()
        self._buffer += data
        while len(self._buffer) > self.chunk_size:
            self._stage(bytes(memoryview(self._buffer)[: self.chunk_size]))
            del self._buffer[: self.chunk_size]

    def close(self) -> None:
        if self.closed:
            return
        try:
            with self._guard("save", self._known_as):
                try:
                    self._commit()
                except Exception as exc:
                    if not self._overwrite and getattr(exc, "status_code", 0) in (409, 412):
                        raise AlreadyExists(f"“{shown(self._known_as)}” exists already.", path=self._known_as) from exc
                    raise
        except BaseException:
            self.abort()
            raise
        self.closed = True
        self._end_pool()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self._buffer.clear()
            for future in self._flying:
                future.cancel()
            self._end_pool()

    def _stage(self, data: bytes) -> None:
        block_id = b64encode(f"{self._prefix}-{len(self._blocks):08d}".encode()).decode()
        self._blocks.append(block_id)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="azure-block")
        with self._guard("save", self._known_as):
            while len(self._flying) >= IN_FLIGHT:
                self._flying.popleft().result()
        self._flying.append(self._pool.submit(self._send, block_id, data))

    def _send(self, block_id: str, data: bytes) -> None:
        self._blob.stage_block(block_id, data, length=len(data))

    def _commit(self) -> None:
        settings = ContentSettings(content_type=self._content_type) if self._content_type else None
        if not self._blocks:
            self._blob.upload_blob(
                bytes(self._buffer),
                length=len(self._buffer),
                overwrite=self._overwrite,
                content_settings=settings,
                max_concurrency=1,
            )
            return
        if self._buffer:
            self._stage(bytes(self._buffer))
            self._buffer.clear()
        while self._flying:
            self._flying.popleft().result()
        condition: dict[str, Any] = {} if self._overwrite else {"match_condition": MatchConditions.IfMissing}
        self._blob.commit_block_list(
            [BlobBlock(block_id) for block_id in self._blocks], content_settings=settings, **condition
        )

    def _end_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._flying.clear()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"“{shown(self._known_as)}” was dropped without close: nothing is written",
                ResourceWarning,
                stacklevel=2,
            )
            self.abort()


def _bare_guard(service: BlobServiceClient, container: str) -> Guard:
    server = server_of(service.url)
    return lambda verb, path: translated(verb, path, server, lambda: False, container)
