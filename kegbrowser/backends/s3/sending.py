"""Putting an object where it belongs: checksums, the condition on the target, and servers that know neither."""

from __future__ import annotations

import base64
import mimetypes
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.errors import AlreadyExists
from kegbrowser.backends.s3.answers import error_code, http_status
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head

_REFUSED_OPTION = {
    "NotImplemented",
    "501",
    "InvalidArgument",
    "InvalidRequest",
    "UnsupportedParameter",
    "BadRequest",
    "400",
}
"""What servers say to a header they do not know (B2: InvalidArgument, R2 and old Ceph: NotImplemented, ...)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file is to appear.

    Attributes:
        deed: for errors; a failed condition is `AlreadyExists`.
        overwrite: False makes it appear only if the name is free.
    """

    bucket: str
    key: str
    deed: Deed
    overwrite: bool
    content_type: str

    @classmethod
    def of(cls, bucket: str, key: str, path: str, *, overwrite: bool, content_type: str) -> Target:
        deed = Deed("write", "write", bucket, key, path, if_condition_fails=AlreadyExists)
        return cls(bucket, key, deed, overwrite, content_type or guess_content_type(key))

    def put(self, connection: S3Connection, data: bytearray) -> None:
        """Write the whole file in one request."""
        fixed = {"Bucket": self.bucket, "Key": self.key, "ContentType": self.content_type}
        self._under_condition(connection, lambda more: self._send(connection, {**fixed, **more}, data))

    def begin(self, connection: S3Connection) -> str:
        """Begin a multipart upload; returns its id."""
        self._look_before(connection)
        fixed = {"Bucket": self.bucket, "Key": self.key, "ContentType": self.content_type}
        with connection.around(self.deed):
            create = connection.client.create_multipart_upload
            algorithm = {} if connection.sends_checksums is False else {"ChecksumAlgorithm": "CRC32"}
            try:
                answer = create(**fixed, **algorithm)
            except ClientError as exc:
                if connection.sends_checksums is not None or not is_refused_option(exc):
                    raise
                answer = create(**fixed)
                connection.sends_checksums = False
            return str(connection.expect(answer, "UploadId", self.deed)["UploadId"])

    def complete(self, connection: S3Connection, upload_id: str, parts: list[dict[str, Any]]) -> None:
        """Make the file of its parts, in one step."""
        fixed = {"Bucket": self.bucket, "Key": self.key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}

        def request(more: dict[str, str]) -> None:
            connection.expect(connection.client.complete_multipart_upload(**fixed, **more), "ETag", self.deed)

        self._under_condition(connection, request)

    def _send(self, connection: S3Connection, options: dict[str, Any], data: bytearray) -> None:
        connection.expect(send_checked(connection, "put_object", options, data), "ETag", self.deed)

    def _under_condition(self, connection: S3Connection, request: Callable[[dict[str, str]], object]) -> None:
        self._look_before(connection)
        conditional = not self.overwrite and connection.conditional_writes is not False
        with connection.around(self.deed):
            try:
                request({"IfNoneMatch": "*"} if conditional else {})
            except ClientError as exc:
                if conditional and http_status(exc) == 412:
                    connection.conditional_writes = True
                if not conditional or connection.conditional_writes or not is_refused_option(exc):
                    raise
                request({})
                connection.conditional_writes = False

    def _look_before(self, connection: S3Connection) -> None:
        """Refuse a taken name where the server may not do it itself."""
        if self.overwrite or connection.conditional_writes:
            return
        if find_head(connection, self.deed) is not None:
            raise AlreadyExists(self.deed.sentence("the name is taken"), path=self.deed.path)


def send_checked(connection: S3Connection, operation: str, fixed: dict[str, Any], data: bytearray) -> Any:
    """Send data with its CRC32, which the server compares; without one to a server that refuses such a request.

    Given as a header, it also keeps the SDK from sending the body in chunks with a trailer, which is slower and which
    fewer servers know. A bytearray, because the SDK makes files of bytes, sends them in small blocks, and asks before each
    (“Expect: 100-continue”): a round trip more for every small file.
    """
    send = getattr(connection.client, operation)
    if connection.sends_checksums is False:
        return send(Body=data, **fixed)
    try:
        answer = send(Body=data, ChecksumCRC32=crc32(data), **fixed)
    except ClientError as exc:
        if connection.sends_checksums or not (is_refused_option(exc) or error_code(exc) == "SignatureDoesNotMatch"):
            raise
        answer = send(Body=data, **fixed)
        connection.sends_checksums = False
        return answer
    connection.sends_checksums = True
    return answer


def is_refused_option(exc: ClientError) -> bool:
    """Whether the server may just not know one of the request's options."""
    return http_status(exc) in (400, 501) and error_code(exc) in _REFUSED_OPTION


def crc32(data: bytearray) -> str:
    """The checksum as S3 writes it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode("ascii")


def guess_content_type(key: str) -> str:
    """The media type by the name's ending."""
    kind, encoding = mimetypes.guess_type(key.rpartition("/")[2], strict=False)
    if encoding:
        return f"application/{'gzip' if encoding == 'gzip' else f'x-{encoding}'}"
    return kind or "application/octet-stream"
