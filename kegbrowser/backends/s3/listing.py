"""Listings as streams of pages: buckets, a folder's level, or all below it."""

from __future__ import annotations

from collections.abc import Iterator

from kegbrowser.backends.base import EntryKind, ListEntry, Page
from kegbrowser.backends.errors import FileNotFoundInStorageError, ServerFault
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head
from kegbrowser.backends.s3.pages import ObjectPage


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
    for found in _found_pages(connection, deed, recursive=recursive):
        page = found.below(prefix, recursive=recursive)
        is_there = is_there or bool(page or found.keys)
        if page:
            is_empty = False
            yield page
    if not is_empty:
        return
    if not is_there and find_head(connection, deed) is None:
        raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=path)
    yield Page(())


def holds_anything(connection: S3Connection, deed: Deed) -> tuple[bool, bool]:
    """Whether the folder that the deed is about has anything in it, and whether it has a marker (or a file of that key)."""
    with connection.around(deed):
        keys = connection.list_objects(deed, Bucket=deed.bucket, Prefix=deed.key, MaxKeys=2).keys
    return any(key != deed.key for key in keys), deed.key in keys


def _found_pages(connection: S3Connection, deed: Deed, *, recursive: bool) -> Iterator[ObjectPage]:
    fixed: dict[str, object] = {"Bucket": deed.bucket, "Prefix": deed.key}
    if not recursive:
        fixed["Delimiter"] = "/"
    token = ""
    while True:
        with connection.around(deed):
            page = connection.list_objects(deed, **fixed, **({"ContinuationToken": token} if token else {}))
        yield page
        if not page.is_truncated:
            return
        if not page.next_token or page.next_token == token:
            # Going on would list the same again, stopping would hide files.
            reason = f"{connection.host} does not say where the listing goes on"
            raise ServerFault(deed.sentence(reason), path=deed.path, retryable=False)
        token = page.next_token
