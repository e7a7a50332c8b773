"""Asking about one object. An answer to HEAD has no body, so what went wrong must sometimes be asked in another way."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.base import ListEntry
from kegbrowser.backends.errors import FileNotFoundInStorageError
from kegbrowser.backends.s3.answers import http_status
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed


def find_head(connection: S3Connection, deed: Deed, *, with_checksums: bool = False) -> dict[str, Any] | None:
    """The facts of the object that the deed is about; None if there is none.

    `with_checksums`: also those of its content that the server knows.

    Raises:
        PermissionDenied, AuthenticationFailed, FileNotFoundInStorageError (the bucket), ConnectionLost.
    """
    more = {"ChecksumMode": "ENABLED"} if with_checksums else {}
    with connection.around(deed):
        try:
            answer: dict[str, Any] = connection.client.head_object(Bucket=deed.bucket, Key=deed.key, **more)
        except ClientError as exc:
            status = http_status(exc)
            if status == 404:
                return None
            if status in (400, 401, 403):
                # A bare status: a wrong secret, an expired token or a right that is missing? A GET tells, by raising.
                connection.client.list_objects_v2(Bucket=deed.bucket, Prefix=deed.key, MaxKeys=1)
            raise
        connection.expect(answer, "ETag", deed)
    return answer


def require_head(connection: S3Connection, deed: Deed, *, with_checksums: bool = False) -> dict[str, Any]:
    """The facts of the object; raises `FileNotFoundInStorageError` if there is none."""
    head = find_head(connection, deed, with_checksums=with_checksums)
    if head is None:
        raise FileNotFoundInStorageError(deed.sentence("there is no such file"), path=deed.path)
    return head


def file_entry(name: str, head: dict[str, Any]) -> ListEntry:
    """The entry for an object, with the facts for its properties."""
    facts = [
        ("Version", head.get("VersionId")),
        ("Encryption", head.get("ServerSideEncryption")),
        ("Cache control", head.get("CacheControl")),
        ("Content encoding", head.get("ContentEncoding")),
        ("Restore", head.get("Restore")),
        *((f"Metadata: {key}", value) for key, value in sorted((head.get("Metadata") or {}).items())),
    ]
    return ListEntry(
        name,
        head.get("LastModified"),
        int(head.get("ContentLength", 0)),
        etag=str(head.get("ETag", "")).strip('"'),
        content_type=head.get("ContentType", ""),
        storage_class=head.get("StorageClass", "STANDARD"),
        extra=tuple((label, str(value)) for label, value in facts if value),
    )
