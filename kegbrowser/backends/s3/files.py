"""What readers and writers have in common."""

from __future__ import annotations

from typing import Any

from kegbrowser.backends.base import FileMode, RemoteFile
from kegbrowser.backends.errors import NotSupported
from kegbrowser.backends.s3.client import S3Connection


class S3FileBase(RemoteFile):
    """A file of a bucket. Reading and writing are separate subclasses; both at once is refused.

    Args:
        mode: read or write.
        bucket: its name.
        filename: the key, exact.
        client: a client of boto3 (or botocore) for S3; it stays open.
        connection: the backend's own, instead of the bare client.
        path: how the caller knows the file, for errors; the key if None.

    Raises:
        NotSupported: reading and writing.
    """

    def __init__(
        self,
        mode: FileMode,
        bucket: str,
        filename: str,
        client: Any,
        *,
        connection: S3Connection | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(FileMode.as_mode(mode))
        self.closed = True  # nothing to clean up if this fails
        self.bucket = bucket
        self.filename = filename
        self.path = filename if path is None else path
        self._connection = connection if connection is not None else S3Connection.of(client)
        if FileMode.read in self.mode and FileMode.write in self.mode:
            raise NotSupported("S3 cannot read and write a file at once.", path=self.path, hint="Open it twice.")
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("The file is closed.")
