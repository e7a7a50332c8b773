"""Asking about one object. An answer to HEAD has no body, so what went wrong must sometimes be asked in another way."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.translate import Deed, http_status


def find_head(connection: S3Connection, deed: Deed) -> dict[str, Any] | None:
    """The facts of the object that the deed is about; None if there is none.

    Raises:
        PermissionDenied, AuthenticationFailed, FileNotFoundInStorageError (the bucket), ConnectionLost.
    """
    with connection.around(deed):
        try:
            answer: dict[str, Any] = connection.client.head_object(Bucket=deed.bucket, Key=deed.key)
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
