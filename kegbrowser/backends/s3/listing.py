"""Listings as streams of pages: buckets, a folder's level, or all below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kegbrowser.backends.base import EntryKind, ListEntry, Page
from kegbrowser.backends.errors import FileNotFoundInStorageError, ServerFault
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head


def bucket_pages(connection: S3Connection) -> Iterator[Page]:
    """Stream the buckets the account owns."""
    deed = Deed("list", "list", path="")
    more: dict[str, str] = {}
    is_first = True
    while True:
        with connection.around(deed):
            answer = connection.expect(connection.client.list_buckets(**more), "Buckets", deed)
        entries = tuple(
            ListEntry(bucket["Name"], bucket.get("CreationDate"), 0, EntryKind.CONTAINER)
            for bucket in answer.get("Buckets") or ()
        )
        if entries or is_first:
            yield Page(entries)
        is_first = False
        token = answer.get("ContinuationToken")
        if not token or more.get("ContinuationToken") == token:
            return
        more = {"ContinuationToken": token}


def object_pages(connection: S3Connection, bucket: str, prefix: str, path: str, *, recursive: bool) -> Iterator[Page]:
    """Stream what is in a folder, relative to it, as the server gives it; the next page is asked for when it is wanted.

    Args:
        prefix: "" or the folder's key, with its "/".

    Raises:
        FileNotFoundInStorageError: no bucket; nothing below the prefix, and no marker of it.
    """
    deed = Deed("list", "list", bucket, prefix, path)
    is_there, is_empty = not prefix, True
    for answer in _answers(connection, deed, recursive=recursive):
        entries = _entries(answer, prefix, recursive=recursive)
        is_there = is_there or bool(entries or answer.get("Contents"))
        if entries:
            is_empty = False
            yield Page(entries)
    if not is_empty:
        return
    if not is_there and find_head(connection, deed) is None:
        raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=path)
    yield Page(())


def holds_anything(connection: S3Connection, deed: Deed) -> tuple[bool, bool]:
    """Whether the folder that the deed is about has anything in it, and whether it has a marker (or a file of that key)."""
    with connection.around(deed):
        answer = connection.list_objects(Bucket=deed.bucket, Prefix=deed.key, MaxKeys=2)
        connection.expect(answer, "IsTruncated", deed)
    keys = [found["Key"] for found in answer.get("Contents") or ()]
    return any(key != deed.key for key in keys), deed.key in keys


def _answers(connection: S3Connection, deed: Deed, *, recursive: bool) -> Iterator[dict[str, Any]]:
    fixed: dict[str, object] = {"Bucket": deed.bucket, "Prefix": deed.key}
    if not recursive:
        fixed["Delimiter"] = "/"
    token = ""
    while True:
        with connection.around(deed):
            more = {"ContinuationToken": token} if token else {}
            answer = connection.list_objects(**fixed, **more)
            connection.expect(answer, "IsTruncated", deed)
        yield answer
        if not answer.get("IsTruncated"):
            return
        following = answer.get("NextContinuationToken") or ""
        if not following or following == token:
            # Going on would list the same again, stopping would hide files.
            reason = f"{connection.host} does not say where the listing goes on"
            raise ServerFault(deed.sentence(reason), path=deed.path, retryable=False)
        token = following


def _entries(answer: dict[str, Any], prefix: str, *, recursive: bool) -> tuple[ListEntry, ...]:
    start = len(prefix)
    entries = [
        ListEntry(common["Prefix"][start:-1], None, 0, EntryKind.FOLDER)
        for common in answer.get("CommonPrefixes") or ()
        if len(common["Prefix"]) > start
    ]
    for found in answer.get("Contents") or ():
        key, size = found["Key"], int(found.get("Size", 0))
        if key.endswith("/") and not size:
            # A marker: of the folder itself, or (in a recursive listing) of one below it.
            if recursive and key != prefix:
                entries.append(ListEntry(key[start:-1], found.get("LastModified"), 0, EntryKind.FOLDER))
            continue
        entries.append(
            ListEntry(
                key[start:],
                found.get("LastModified"),
                size,
                etag=str(found.get("ETag", "")).strip('"'),
                storage_class=found.get("StorageClass", ""),
                owner=(found.get("Owner") or {}).get("DisplayName", ""),
            )
        )
    return tuple(entries)
