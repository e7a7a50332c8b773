"""Reading an object: as one stream, or a range of it in large pieces."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.base import FileMode
from kegbrowser.backends.errors import ConnectionLost, ServerFault, SourceChanged
from kegbrowser.backends.proofs import ALGORITHMS
from kegbrowser.backends.s3.answers import http_status
from kegbrowser.backends.s3.checksums import Comparison
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.files import S3FileBase
from kegbrowser.backends.s3.translate import SDK_ERRORS

log = logging.getLogger(__name__)

RANGE_BYTES = 32 * 1024 * 1024

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class S3Reader(S3FileBase):
    """Reads a file from a bucket. One thread at a time.

    A whole file is one request, checked by the server's checksum where it gives one; a part of a file is asked for in ranges
    of `range_bytes`, each on the condition that the file is still the same (If-Match). What is read streams through: memory
    is what `read` returns, whatever the size.

    Args:
        offset, length: the part to read; it is cut at the file's end.
        etag: the version to read, without quotes; "" for any.
        range_bytes: length of one request.
        resumes: how often the stream is taken up again where it was cut, instead of raising `ConnectionLost`.

    Raises:
        FileNotFoundInStorageError, PermissionDenied, ConnectionLost: known here already.
        SourceChanged: the file is not that of `etag`.
    """

    def __init__(
        self,
        bucket: str,
        filename: str,
        client: Any,
        *,
        connection: S3Connection | None = None,
        path: str | None = None,
        offset: int = 0,
        length: int | None = None,
        etag: str = "",
        range_bytes: int = RANGE_BYTES,
        resumes: int = 0,
    ) -> None:
        super().__init__(FileMode.read, bucket, filename, client, connection=connection, path=path)
        self._deed = Deed("open", "read", bucket, filename, self.path)
        self._etag = etag
        self._range_bytes = range_bytes
        self._resumes = resumes
        self._offset = self._position = offset
        self._total = -1
        self._body: Any = None
        self._compared_by = ""
        self._left = 0  # of the running request
        try:
            if offset == 0 and length is None:
                self._end = 0
                self._end = self._total = self._begin({"ChecksumMode": "ENABLED"})
            else:
                self._end = offset + length if length is not None else -1
                self._begin_range()
        except BaseException:
            self.close()
            raise
        self._deed = Deed("read", "read", bucket, filename, self.path)
        if not self._left:
            self._finish_body()

    @property
    def etag(self) -> str:
        """The mark of the version that is read, without quotes; "" if the server gave none."""
        return self._etag

    @property
    def compared_by(self) -> str:
        """The name of the checksum by which the whole content is compared at its end; "" if there is none."""
        return self._compared_by

    def read(self, size: int) -> bytes:
        self._check_open()
        if size < 0:
            return b"".join(self.iter_chunks())
        while size and self._position < self._end:
            try:
                data = self._read_some(size)
            except ConnectionLost:
                if not self._resumes:
                    raise
                self._resumes -= 1
                log.debug("%s: taken up again at %s", self.path, self._position)
                self._drop_body()
                continue
            if data:
                return data
        return b""

    def close(self) -> None:
        self.closed = True
        self._drop_body()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self.close()

    def _read_some(self, size: int) -> bytes:
        if self._body is None:
            self._begin_range()
        sockets = self._connection.sockets
        with self._connection.around(self._deed):
            data: bytes = self._body.read(min(size, self._left, self._end - self._position))
            sockets.check()  # a socket that was shut down reads like a file's end
            if not data:
                host = self._connection.host
                raise ConnectionLost(self._deed.sentence(f"the connection to {host} was cut"), path=self.path)
            if len(data) == self._left:
                self._body.read()  # the last read checks the checksum and gives the connection back
                self._body.close()
                self._body = None
        self._position += len(data)
        self._left -= len(data)
        if self._position == self._end:
            self._drop_body()  # also of a server that gives more than it was asked for
        return data

    def _begin_range(self) -> None:
        """Ask for the next range; at or behind the file's end there is none."""
        stop = self._position + self._range_bytes
        if self._end >= 0:
            stop = min(stop, self._end)
        if stop <= self._position:
            self._check_version()
            return
        try:
            total = self._begin({"Range": f"bytes={self._position}-{stop - 1}"})
        except _BehindTheEnd:
            self._check_version()
            if self._position > self._offset:
                raise self._changed() from None
            self._end = self._position
            return
        if self._total not in (-1, total):
            raise self._changed()
        self._total = total
        self._end = total if self._end < 0 else min(self._end, total)

    def _begin(self, options: dict[str, str]) -> int:
        """Send a GetObject and take its answer apart; returns the length of the whole file."""
        if self._etag:
            options["IfMatch"] = f'"{self._etag}"'
        with self._connection.around(self._deed):
            try:
                answer = self._connection.get_object(Bucket=self.bucket, Key=self.filename, **options)
            except ClientError as exc:
                if http_status(exc) == 416:
                    raise _BehindTheEnd from exc
                raise
        self._body = answer["Body"]
        self._connection.expect(answer, "ETag", self._deed)
        self._take_etag(answer)
        if "ChecksumMode" in options and (comparison := Comparison.of(answer)) is not None:
            self._compared_by = ALGORITHMS[comparison.algorithm]
        total = answer.get("ContentLength")
        content_range = _CONTENT_RANGE.fullmatch(answer.get("ContentRange") or "")
        if total is None:
            raise self._nonsense("the answer does not say how long it is")
        self._left = int(total)
        if content_range is None:
            if self._position:
                raise self._nonsense("the whole file came instead of a part")
            return int(total)
        if int(content_range[1]) != self._position or int(content_range[2]) + 1 - self._position != self._left:
            raise self._nonsense("another part came than was asked for")
        return int(content_range[3]) if content_range[3] != "*" else self._position + self._left

    def _check_version(self) -> None:
        condition = {"IfMatch": f'"{self._etag}"'} if self._etag else {}
        with self._connection.around(self._deed):
            answer = self._connection.client.head_object(Bucket=self.bucket, Key=self.filename, **condition)
        self._take_etag(answer)
        self._end = min(self._end, int(answer.get("ContentLength", 0)))
        self._left = 0

    def _take_etag(self, answer: dict[str, Any]) -> None:
        etag = str(answer.get("ETag", "")).strip('"')
        if self._etag and etag and etag != self._etag:
            raise self._changed()
        self._etag = self._etag or etag

    def _changed(self) -> SourceChanged:
        self._drop_body()
        return SourceChanged(self._deed.sentence("it was changed meanwhile"), path=self.path)

    def _nonsense(self, what: str) -> ServerFault:
        return ServerFault(self._deed.sentence(f"{self._connection.host} answered wrongly ({what})"), path=self.path)

    def _finish_body(self) -> None:
        if self._body is not None:
            with self._connection.around(self._deed):
                self._body.read()
            self._drop_body()

    def _drop_body(self) -> None:
        body, self._body, self._left = getattr(self, "_body", None), None, 0
        if body is not None:
            with suppress(*SDK_ERRORS):
                body.close()


class _BehindTheEnd(Exception):
    """The range begins at or behind the file's end (416)."""
