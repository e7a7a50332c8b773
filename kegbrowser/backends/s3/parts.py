"""A multipart upload: begun by its first part, parts sent by a few threads, forgotten without a trace or completed.

Limits: Amazon S3 user guide, "Amazon S3 multipart upload limits": 10,000 parts of 5 MiB (the last may be smaller) to 5 GiB,
5 TiB in all.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kegbrowser.backends.errors import Cancelled, ConnectionLost, NotSupported, ServerFault
from kegbrowser.backends.s3.checksums import crc32_text
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.sending import CRC32, Target, send_part

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 5 * 1024 * MIB
MAX_PARTS = 10_000
MAX_OBJECT_BYTES = 5 * 1024 * 1024 * MIB
PART_TRIES = 3
PARTS_OF_A_SIZE = 1_000
"""Where the length is not known, parts double after this many, so that 10,000 of them are enough for anything."""


def part_bytes_for(size_bytes: int | None, smallest: int) -> int:
    """The size of parts for a file of this length: the smallest that does with 10,000 parts, in whole MiB."""
    needed = -(-(size_bytes or 0) // MAX_PARTS)
    rounded = -(-needed // MIB) * MIB
    return min(max(smallest, MIN_PART_BYTES, rounded), MAX_PART_BYTES)


class PartSender:
    """Sends the parts of one file. `send`, `finish` and `discard` belong to one thread.

    Memory: `threads + 1` parts wait or are under way, besides the one that the caller is filling.

    Args:
        threads: parts sent at once.
    """

    def __init__(self, connection: S3Connection, target: Target, threads: int) -> None:
        self._connection = connection
        self._target = target
        self._room = threading.BoundedSemaphore(threads + 1)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="s3-part")
        self._lock = threading.Lock()
        self._done: dict[int, dict[str, Any]] = {}
        self._error: BaseException | None = None
        self._count = 0
        self._stopped = threading.Event()
        self._upload_id = ""

    def send(self, data: bytearray) -> None:
        """Send the next part; waits while too many are under way.

        Raises:
            StorageError, Cancelled: of this part's beginning, or of an earlier one's.
        """
        if not self._upload_id:
            self._begin()
        if self._count >= MAX_PARTS:
            reason = "it has more parts than S3 allows"
            raise NotSupported(self._target.deed.sentence(reason), path=self._target.deed.path)
        self._room.acquire()
        self._raise_failed()
        self._count += 1
        self._threads.submit(self._send_part, self._count, data)

    def finish(self) -> None:
        """Wait for all parts and make the file of them.

        Raises:
            StorageError, Cancelled: call `discard`.
        """
        self._threads.shutdown(wait=True)
        self._raise_failed()
        parts = [self._done[number] for number in range(1, self._count + 1)]
        self._target.complete(self._connection, self._upload_id, parts)

    def discard(self) -> None:
        """Stop, and remove what was sent. Raises nothing of the storage's."""
        self._stopped.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        if not self._upload_id:
            return
        target = self._target
        deed = Deed("remove the unfinished upload of", "write", target.bucket, target.key, target.deed.path)
        where = {"Bucket": target.bucket, "Key": target.key, "UploadId": self._upload_id}
        self._connection.clean_up(deed, lambda client: client.abort_multipart_upload(**where))

    def _begin(self) -> None:
        self._target.look_before(self._connection)
        self._upload_id, _kind = self._target.begin(self._connection)

    def _raise_failed(self) -> None:
        with self._lock:
            error = self._error
        if error is not None:
            raise error

    def _send_part(self, number: int, data: bytearray) -> None:
        try:
            if self._stopped.is_set() or self._error is not None:
                return
            part = self._try_part(number, data)
            with self._lock:
                self._done[number] = part
        except BaseException as exc:  # the outermost frame of a part: `send` and `finish` raise it again
            with self._lock:
                if self._error is None:
                    self._error = exc
        finally:
            self._room.release()

    def _try_part(self, number: int, data: bytearray) -> dict[str, Any]:
        """Send a part; a busy server or a cut connection gets two more chances, so that one hiccup does not cost the file."""
        for attempt in range(1, PART_TRIES + 1):
            try:
                return self._put_part(number, data)
            except (ConnectionLost, ServerFault) as exc:
                if attempt == PART_TRIES or not exc.retryable or self._stopped.is_set():
                    raise
                log.debug("part %s of %s: try %s failed: %s", number, self._target.deed.path, attempt, exc)
                pause = exc.retry_after_s or 0.25 * 2**attempt * random.uniform(0.5, 1.0)
                self._pause(min(pause, 10.0))
        raise Cancelled  # not reached

    def _pause(self, seconds: float) -> None:
        """Wait before another try, unless the file is given up or the storage interrupted meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stopped.wait(min(left, 0.1)):
                raise Cancelled
            self._connection.sockets.check()

    def _put_part(self, number: int, data: bytearray) -> dict[str, Any]:
        sent = send_part(self._connection, self._target, self._upload_id, number - 1, data)
        part: dict[str, Any] = {"PartNumber": number, "ETag": f'"{sent.part.tag}"'}
        if sent.by == CRC32:
            part["ChecksumCRC32"] = crc32_text(sent.part.crc32)
        return part
