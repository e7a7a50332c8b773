"""Blobs are written in blocks; nothing is visible before the list of blocks is committed."""

from __future__ import annotations

import io
import threading
import warnings
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ContentSettings

from kegbrowser.backends.azure.blocks import MAX_BLOB_BYTES, MAX_BLOCKS, MIB, BlockIds, BlockPlan, in_flight
from kegbrowser.backends.azure.calls import Guard, blob_url, put_blob, uncommitted_blocks
from kegbrowser.backends.azure.deeds import last_name
from kegbrowser.backends.azure.files import AzureFile
from kegbrowser.backends.azure.names import check_new_name
from kegbrowser.backends.azure.translate import code_of
from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import AlreadyExists, NotSupported, QuotaExceeded

LARGEST_SINGLE_PUT = 64 * MIB


class AzureWriter(AzureFile):
    """Writes a blob in blocks of `chunk_size` bytes, or in one request if it is not larger than that. Any one thread at a time.

    No call begins the upload: the first block does. What was sent of an aborted one is not visible; no call removes it, and the
    service drops it after a week ("Put Block"). Blocks grow with their number, so that 50,000 of them suffice for any length.
    Whoever finishes last of two writers of one blob fails or replaces it whole, never in part.

    Memory: (n + 2) blocks, n being how many are on their way at once: up to 3, of at most 64 MiB together.

    Args:
        overwrite: False makes `close` raise AlreadyExists if the blob is there.
        content_type: as stored; "" leaves the service's own.
        plan: other sizes than those that follow from `chunk_size`.

    Raises:
        InvalidName: the service would store it under another name, or cannot store it.
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
        plan: BlockPlan | None = None,
        guard: Guard | None = None,
        shown_path: str | None = None,
    ) -> None:
        super().__init__(container_name, path, mode, service, chunk_size, guard=guard, shown_path=shown_path)
        if mode != FileMode.write:
            raise NotSupported("A writer writes.", path=path)
        deed = self._deed("save", "write")
        check_new_name(deed)
        self._saving = deed if overwrite else replace(deed, if_condition_fails=AlreadyExists)
        self._overwrite = overwrite
        self._content_type = content_type
        # TLS has its own checks; without it the service compares the MD5 of each request's body.
        self._with_md5 = str(service.url).startswith("http://")
        self._plan = plan or BlockPlan(chunk_size)
        self._ids = BlockIds()
        self._ids_lock = threading.Lock()
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._blocks = 0
        self._sent_bytes = 0
        self._block_bytes = self._plan.size_of(0)
        self._pool: ThreadPoolExecutor | None = None
        self._flying: deque[Future[None]] = deque()
        self._failure: BaseException | None = None
        self.closed = False

    def read(self, size: int) -> bytes:
        raise io.UnsupportedOperation("This file was not opened for reading.")

    def write(self, data: bytes) -> None:
        self._check_open()
        self._check_sound()
        left = memoryview(data).cast("B")
        while left:
            if self._held_bytes == self._block_bytes:
                self._send_held()
            piece = left[: self._block_bytes - self._held_bytes]
            self._pieces.append(bytes(piece))
            self._held_bytes += len(piece)
            left = left[len(piece) :]

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._check_sound()
            if not self._blocks and self._held_bytes <= LARGEST_SINGLE_PUT:
                self._put()
            else:
                self._commit()
        except BaseException:
            self.abort()
            raise
        self.closed = True
        self._end_pool()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self._pieces.clear()
            for future in self._flying:
                future.cancel()
            self._end_pool()

    @cached_property
    def _blob(self) -> BlobClient:
        return self._service.get_blob_client(self.container_name, self.path)

    def _check_sound(self) -> None:
        """A block that was lost is lost for good, also for a caller who goes on."""
        if self._failure is not None:
            raise self._failure

    def _put(self) -> None:
        data = b"".join(self._pieces)
        headers = {"x-ms-blob-content-type": self._content_type} if self._content_type else {}
        if not self._overwrite:
            headers["If-None-Match"] = "*"
        with self._guard(self._saving):
            put_blob(self._service, blob_url(self._service, self.container_name, self.path), data, headers)

    def _commit(self) -> None:
        if self._held_bytes:
            self._send_held()
        self._wait_until_flying(0)
        blocks = [BlobBlock(self._ids.id_of(number)) for number in range(self._blocks)]
        settings = ContentSettings(content_type=self._content_type) if self._content_type else None
        condition: dict[str, Any] = {} if self._overwrite else {"match_condition": MatchConditions.IfMissing}
        with self._guard(self._saving):
            self._blob.commit_block_list(blocks, content_settings=settings, **condition)

    def _send_held(self) -> None:
        if self._blocks >= MAX_BLOCKS or self._sent_bytes + self._held_bytes > MAX_BLOB_BYTES:
            raise QuotaExceeded(self._saving.sentence("a blob holds 190.7 TiB at most"), path=self._shown_path)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(in_flight(self._block_bytes), thread_name_prefix="azure-block")
        self._wait_until_flying(in_flight(self._block_bytes) - 1)
        data = b"".join(self._pieces)
        self._flying.append(self._pool.submit(self._send, self._blocks, data))
        self._pieces.clear()
        self._sent_bytes += self._held_bytes
        self._held_bytes = 0
        self._blocks += 1
        self._block_bytes = self._plan.size_of(self._blocks)

    def _wait_until_flying(self, most: int) -> None:
        try:
            with self._guard(self._saving):
                while len(self._flying) > most:
                    self._flying.popleft().result()
        except BaseException as exc:
            self._failure = exc
            raise

    def _send(self, number: int, data: bytes) -> None:
        ids = self._ids
        try:
            self._stage(ids, number, data)
        except HttpResponseError as exc:
            if code_of(exc) != "InvalidBlobOrBlock":
                raise
            self._stage(self._fitting_ids(ids, exc), number, data)

    def _stage(self, ids: BlockIds, number: int, data: bytes) -> None:
        self._blob.stage_block(ids.id_of(number), data, length=len(data), validate_content=self._with_md5)

    def _fitting_ids(self, refused: BlockIds, exc: HttpResponseError) -> BlockIds:
        """Ids as long as those that an unfinished upload of another program has left there."""
        with self._ids_lock:
            if self._ids is refused:
                try:
                    self._ids = BlockIds.fitting(uncommitted_blocks(self._service, self.container_name, self.path))
                except ValueError:
                    raise exc from None
            return self._ids

    def _end_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._flying.clear()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.abort()
            what = f"“{last_name(self.path)}” was dropped without close: nothing is written"
            warnings.warn(what, ResourceWarning, stacklevel=2)
