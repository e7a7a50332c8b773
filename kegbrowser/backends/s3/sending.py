"""Putting an object where it belongs: checksums, the condition on the target, and servers that know neither."""

from __future__ import annotations

import hashlib
import mimetypes
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.errors import AlreadyExists, CheckFailed
from kegbrowser.backends.proofs import ALGORITHMS
from kegbrowser.backends.s3.answers import error_code, http_status
from kegbrowser.backends.s3.checksums import crc32, crc32_text, is_md5, md5_text
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head
from kegbrowser.backends.uploads import Part

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


CRC32, MD5 = ALGORITHMS["crc32"], ALGORITHMS["md5"]


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that was sent, and the name of the checksum by which the server's word on it was compared; "" if by none."""

    part: Part
    by: str


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

    def put(self, connection: S3Connection, content: bytes | bytearray) -> str:
        """Write the whole file in one request; returns the name of the checksum that was compared, "" for none."""
        fixed = {"Bucket": self.bucket, "Key": self.key, "ContentType": self.content_type}
        answer: dict[str, Any] = {}

        def request(more: dict[str, str]) -> None:
            answer.update(send_checked(connection, "PutObject", {**fixed, **more}, content))
            connection.expect(answer, "ETag", self.deed)

        self._under_condition(connection, request)
        return compared_by(connection, self, answer, content, zlib.crc32(content))

    def begin(self, connection: S3Connection) -> tuple[str, str]:
        """Begin a multipart upload; returns its id, and how the checksum of the whole will be made ("" if the server does not
        say).

        A checksum of the whole file can be compared after a later download; one of the parts' checksums cannot. What a server
        does not know is left out from then on.
        """
        fixed = {"Bucket": self.bucket, "Key": self.key, "ContentType": self.content_type}
        with connection.around(self.deed):
            while True:
                algorithm = _algorithm(connection)
                try:
                    answer = connection.client.create_multipart_upload(**fixed, **algorithm)
                except ClientError as exc:
                    if not algorithm or not is_refused_option(exc):
                        raise
                    if connection.whole_checksums:
                        connection.whole_checksums = False
                    elif connection.sends_checksums is None:
                        connection.sends_checksums = False
                    else:
                        raise
                    continue
                upload_id = str(connection.expect(answer, "UploadId", self.deed)["UploadId"])
                return upload_id, str(answer.get("ChecksumType") or "")

    def complete(
        self, connection: S3Connection, upload_id: str, parts: list[dict[str, Any]], crc32_of_all: str = ""
    ) -> dict[str, Any]:
        """Make the file of its parts, in one step; returns the answer.

        Args:
            crc32_of_all: the checksum of the whole, of an upload that was begun with one; the server then compares it.
        """
        fixed = {"Bucket": self.bucket, "Key": self.key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
        if crc32_of_all:
            fixed |= {"ChecksumCRC32": crc32_of_all, "ChecksumType": "FULL_OBJECT"}
        answer: dict[str, Any] = {}

        def request(more: dict[str, str]) -> None:
            answer.update(connection.client.complete_multipart_upload(**fixed, **more))
            connection.expect(answer, "ETag", self.deed)

        self._under_condition(connection, request)
        return answer

    def look_before(self, connection: S3Connection) -> None:
        """Refuse a taken name where the server may not do it itself."""
        if self.overwrite or connection.conditional_writes:
            return
        if find_head(connection, self.deed) is not None:
            raise AlreadyExists(self.deed.sentence("the name is taken"), path=self.deed.path)

    def _under_condition(self, connection: S3Connection, request: Callable[[dict[str, str]], object]) -> None:
        self.look_before(connection)
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


def send_checked(
    connection: S3Connection,
    operation: str,
    options: dict[str, Any],
    content: bytes | bytearray | memoryview,
    value: int | None = None,
    on_sent: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Send content with its CRC-32, which the server compares; with its MD5 to a server that refuses such a request.

    Given as a header, it also keeps the SDK from sending the body in chunks with a trailer, which is slower and which
    fewer servers know.

    Args:
        operation: PutObject or UploadPart.
        value: the CRC-32 if it is known.
    """
    if connection.sends_checksums is not False:
        said = crc32(content) if value is None else crc32_text(value)
        try:
            answer = connection.put(operation, {**options, "ChecksumCRC32": said}, content, on_sent)
        except ClientError as exc:
            is_about_it = is_refused_option(exc) or error_code(exc) == "SignatureDoesNotMatch"
            if connection.sends_checksums or not is_about_it:
                raise
        else:
            connection.sends_checksums = True
            return answer
    answer = connection.put(operation, {**options, "ContentMD5": md5_text(content)}, content, on_sent)
    connection.sends_checksums = False
    return answer


def send_part(
    connection: S3Connection,
    target: Target,
    upload_id: str,
    number: int,
    content: bytes | bytearray | memoryview,
    on_sent: Callable[[int], None] | None = None,
) -> SentPart:
    """Send part `number` (from 0) and compare what the server says of it.

    Raises:
        CheckFailed: it received something else.
    """
    deed, value = target.deed, zlib.crc32(content)
    where = {"Bucket": target.bucket, "Key": target.key, "UploadId": upload_id, "PartNumber": number + 1}
    with connection.around(deed):
        answer = send_checked(connection, "UploadPart", where, content, value, on_sent)
        connection.expect(answer, "ETag", deed)
    by = compared_by(connection, target, answer, content, value)
    return SentPart(Part(number, len(content), value, str(answer["ETag"]).strip('"')), by)


def compared_by(
    connection: S3Connection,
    target: Target,
    answer: Mapping[str, Any],
    content: bytes | bytearray | memoryview,
    value: int,
) -> str:
    """The name of the checksum by which the server's word on what it took was compared; "" if it gave none.

    Args:
        value: the content's CRC-32.

    Raises:
        CheckFailed: it took something else.
    """
    if said := answer.get("ChecksumCRC32"):
        if said != crc32_text(value):
            reason = f"what arrived at {connection.host} is not what was sent"
            raise CheckFailed(target.deed.sentence(reason), path=target.deed.path)
        return CRC32
    etag = str(answer["ETag"]).strip('"')
    if is_md5(answer, target.bucket) and hashlib.md5(content, usedforsecurity=False).hexdigest() == etag:
        return MD5
    return ""


def _algorithm(connection: S3Connection) -> dict[str, str]:
    """What a multipart upload is begun with."""
    if connection.sends_checksums is False:
        return {}
    if not connection.whole_checksums:
        return {"ChecksumAlgorithm": "CRC32"}
    return {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}


def is_refused_option(exc: ClientError) -> bool:
    """Whether the server may just not know one of the request's options."""
    return http_status(exc) in (400, 501) and error_code(exc) in _REFUSED_OPTION


def guess_content_type(key: str) -> str:
    """The media type by the name's ending."""
    name = key.rpartition("/")[2]
    pieces = name.rsplit(".", 2)
    # Only the last two endings count, and there are few of them.
    return _guess(f"x.{'.'.join(pieces[1:])}" if pieces[0] and len(pieces) > 1 else name)


@lru_cache(maxsize=1024)
def _guess(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    if encoding:
        return f"application/{'gzip' if encoding == 'gzip' else f'x-{encoding}'}"
    return kind or "application/octet-stream"
