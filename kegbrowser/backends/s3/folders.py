"""Folders, which S3 has not: prefixes of keys, and markers (empty keys that end in "/") for the empty ones."""

from __future__ import annotations

from dataclasses import replace

from kegbrowser.backends.errors import AlreadyExists, FileNotFoundInStorageError, NotSupported
from kegbrowser.backends.s3.changing import delete_key
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head
from kegbrowser.backends.s3.listing import holds_anything, object_pages


def make_marker(connection: S3Connection, deed: Deed) -> None:
    """Make an empty folder.

    Raises:
        AlreadyExists: something is in it, or it has a marker.
    """
    if any(holds_anything(connection, deed)) or find_head(connection, deed) is not None:
        raise AlreadyExists(deed.sentence("it exists"), path=deed.path)
    with connection.around(deed):
        made = connection.client.put_object(
            Bucket=deed.bucket, Key=deed.key, Body=bytearray(), ContentType="application/x-directory"
        )
        connection.expect(made, "ETag", deed)


def delete_marker(connection: S3Connection, deed: Deed) -> None:
    """Remove the marker, if there is one; a file of that key, and what is in the folder, stay."""
    head = find_head(connection, deed)
    if head is None or head.get("ContentLength"):
        return
    if connection.folds_names:
        _delete_empty_below(connection, deed)
    delete_key(connection, deed)


def refuse_folder(connection: S3Connection, deed: Deed) -> None:
    """Let only a file pass whose name ends in "/".

    Raises:
        NotSupported: it is a folder.
        FileNotFoundInStorageError: it is nothing.
    """
    head = find_head(connection, deed)
    if head is not None and head.get("ContentLength"):
        return
    if head is None and not holds_anything(connection, deed)[0]:
        raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=deed.path)
    raise NotSupported(deed.sentence("S3 moves single files only"), path=deed.path)


def _delete_empty_below(connection: S3Connection, deed: Deed) -> None:
    """Delete the folders in a folder that nothing is left in: SeaweedFS keeps them as directories when their files go."""
    for page in object_pages(connection, deed.bucket, deed.key, deed.path or "", recursive=False):
        for entry in page.entries:
            if entry.is_folder:
                inner = replace(deed, key=f"{deed.key}{entry.name}/")
                _delete_empty_below(connection, inner)
                if not holds_anything(connection, inner)[0]:
                    delete_key(connection, inner)
