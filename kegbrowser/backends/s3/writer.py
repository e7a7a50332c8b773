"""Writing an object: in one request if it is small, else in parts; visible only when all is there."""

from __future__ import annotations

import warnings
from collections import deque
from typing import Any

from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import NotSupported
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.files import S3FileBase
from kegbrowser.backends.s3.parts import MAX_OBJECT_BYTES, PARTS_OF_A_SIZE, PartSender, part_bytes_for
from kegbrowser.backends.s3.sending import Target

PART_THREADS = 3


class S3Writer(S3FileBase):
    """Writes a file to a bucket. One thread at a time; sends parts on threads of its own.

    The local buffer hides the parts: what fits into one part is sent in one request by `close`; the multipart upload is begun
    when more comes. Memory: (threads + 2) parts, and a part is `chunk_size`, or a 10,000th of `size_bytes` if that is more
    (5 TiB: 525 MiB; 100 GiB: 11 MiB). Beyond `size_bytes`, or without it, the parts double after each 1,000.

    Args:
        chunk_size: bytes of a part; S3 takes none below 5 MiB.
        size_bytes: final length if known.
        overwrite: False makes `close` raise `AlreadyExists` where the name is taken.
        content_type: guessed from the name if empty.
        threads: parts sent at once.
    """

    def __init__(
        self,
        bucket: str,
        filename: str,
        client: Any,
        chunk_size: int = 10485760,
        *,
        connection: S3Connection | None = None,
        path: str | None = None,
        size_bytes: int | None = None,
        overwrite: bool = True,
        content_type: str = "",
        threads: int = PART_THREADS,
    ) -> None:
        super().__init__(FileMode.write, bucket, filename, client, connection=connection, path=path)
        self._target = Target.of(bucket, filename, self.path, overwrite=overwrite, content_type=content_type)
        self._expected_bytes = size_bytes or 0
        self._sent_bytes = 0
        self._part_bytes = part_bytes_for(size_bytes, chunk_size)
        self._threads = threads
        self._pieces: deque[memoryview] = deque()
        self._buffered = 0
        self._parts_of_this_size = 0
        self._sender: PartSender | None = None
        if size_bytes is not None and size_bytes > MAX_OBJECT_BYTES:
            self.closed = True
            reason = "S3 holds no file above 5 TiB"
            raise NotSupported(self._target.deed.sentence(reason), path=self.path, hint="Split the file.")

    def write(self, data: bytes) -> None:
        self._check_open()
        self._connection.sockets.check()
        self._pieces.append(memoryview(data if isinstance(data, bytes) else bytes(data)))
        self._buffered += len(data)
        # Strictly more than a part: what is left for the end is never empty, and one part alone needs no upload of parts.
        while self._buffered > self._part_bytes:
            self._send(self._take(self._part_bytes))

    def close(self) -> None:
        if self.closed:
            return
        try:
            rest = self._take(self._buffered)
            if self._sender is None:
                self._target.put(self._connection, rest)
            else:
                self._send(rest)
                self._sender.finish()
        except BaseException:
            self.abort()
            raise
        self.closed = True

    def abort(self) -> None:
        """Forget what was written; of a multipart upload nothing is left at the server. Nothing happens after `close`."""
        if self.closed:
            return
        self.closed = True
        self._pieces.clear()
        self._buffered = 0
        if self._sender is not None:
            self._sender.discard()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(f"{self.path!r} was neither closed nor aborted", ResourceWarning, stacklevel=2, source=self)
            self.abort()

    def _send(self, part: bytearray) -> None:
        if self._sender is None:
            self._sender = PartSender(self._connection, self._target, self._threads)
        self._sender.send(part)
        self._sent_bytes += len(part)
        if self._sent_bytes < self._expected_bytes:
            return
        self._parts_of_this_size += 1
        if self._parts_of_this_size >= PARTS_OF_A_SIZE:
            self._part_bytes *= 2
            self._parts_of_this_size = 0

    def _take(self, count: int) -> bytearray:
        """Take that many bytes off the front of the buffer; each byte is copied once."""
        taken: list[memoryview] = []
        missing = count
        while missing:
            piece = self._pieces.popleft()
            if len(piece) > missing:
                self._pieces.appendleft(piece[missing:])
                piece = piece[:missing]
            taken.append(piece)
            missing -= len(piece)
        self._buffered -= count
        return bytearray().join(taken)
