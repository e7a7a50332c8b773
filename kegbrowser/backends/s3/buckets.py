"""The buckets of an account: seen to be there before they are written to, made, and deleted when empty."""

from __future__ import annotations

from botocore.exceptions import ClientError

from kegbrowser.backends.errors import AlreadyExists, FolderNotEmpty
from kegbrowser.backends.s3.answers import error_code
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.listing import holds_anything


class Buckets:
    """What one storage knows of buckets. Any thread."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self._known: set[str] = set()

    def remember(self, bucket: str) -> None:
        """Say that it was seen to be there."""
        self._known.add(bucket)

    def require(self, deed: Deed) -> None:
        """See that the bucket is there: some servers make it at the first write, so that a mistyped name would become one.

        Raises:
            FileNotFoundInStorageError: no such bucket.
        """
        if deed.bucket in self._known:
            return
        with self._connection.around(Deed("write to", "write", deed.bucket, path=deed.path)):
            try:
                self._connection.client.head_bucket(Bucket=deed.bucket)
            except ClientError as exc:
                if error_code(exc) not in ("403", "400"):  # the write itself says it better
                    raise
        self._known.add(deed.bucket)

    def check(self, deed: Deed) -> None:
        """See that a bucket is there and may be listed."""
        with self._connection.around(deed):
            answer = self._connection.client.list_objects_v2(Bucket=deed.bucket, MaxKeys=1)
        self._connection.expect(answer, "IsTruncated", deed)

    def make(self, deed: Deed) -> None:
        """Make a bucket in the connection's region.

        Raises:
            AlreadyExists: it exists, here or with somebody else (names are shared by all users of Amazon).
        """
        connection = self._connection
        with connection.around(deed):
            try:
                # Amazon's oldest region says "made" of a bucket that one has already.
                connection.client.head_bucket(Bucket=deed.bucket)
            except ClientError as exc:
                if error_code(exc) not in ("404", "403", "400", "301"):
                    raise
            else:
                raise AlreadyExists(deed.sentence("it exists"), path=deed.path)
            region = connection.client.meta.region_name
            elsewhere = region not in ("us-east-1", "aws-global", "auto")
            options = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
            connection.client.create_bucket(Bucket=deed.bucket, **options)
        self._known.add(deed.bucket)

    def delete(self, deed: Deed) -> None:
        """Delete an empty bucket.

        Raises:
            FolderNotEmpty: something is in it; some servers would delete that as well, so it is looked at first.
        """
        has_more, _has_own = holds_anything(self._connection, deed)
        if has_more:
            raise FolderNotEmpty(deed.sentence("it is not empty"), path=deed.path)
        with self._connection.around(deed):
            self._connection.client.delete_bucket(Bucket=deed.bucket)
        self._known.discard(deed.bucket)
