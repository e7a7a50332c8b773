"""Amazon S3, and everything that speaks it, as a storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.base import (
    Capabilities,
    DeleteResult,
    EntryKind,
    FileMode,
    ListEntry,
    Page,
    RemoteFile,
    StorageBackend,
    as_folder,
    split_path,
)
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    IsAFolder,
    NotSupported,
    PermissionDenied,
    ServerFault,
)
from kegbrowser.backends.s3.changing import copy_key, delete_key, delete_keys
from kegbrowser.backends.s3.client import S3Connection, Settings, might_be_one
from kegbrowser.backends.s3.files import S3FileBase
from kegbrowser.backends.s3.heads import find_head
from kegbrowser.backends.s3.listing import bucket_pages, holds_anything, object_pages
from kegbrowser.backends.s3.reader import S3Reader
from kegbrowser.backends.s3.translate import Deed, error_code, readable
from kegbrowser.backends.s3.writer import S3Writer

SMALLEST_PART_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A path taken apart; the key of a whole bucket is empty, the root of all buckets has neither."""

    bucket: str
    key: str
    path: str

    def deed(self, verb: str, right: str) -> Deed:
        return Deed(verb, right, self.bucket, self.key, self.path)


class S3Storage(StorageBackend):
    """One bucket, or all buckets of an account. Any thread; connects at the first call.

    Args:
        bucket: None or "" lists the buckets at the root; the first part of a path is then the bucket.
        aws_region: "" for the profile's, else us-east-1. A bucket elsewhere is found by Amazon's own redirect.
        aws_access_key_id, aws_secret_access_key: without them the profile, the AWS_* variables or the default profile are
            used; the machine roles of Amazon's cloud are not asked.
        aws_profile: section of ~/.aws/config or ~/.aws/credentials.
        name: how it is called in messages.
        endpoint_url: of another server than Amazon's, as `https://host:port`.
        path_style: `host/bucket/key` instead of `bucket.host/key`; None: with an `endpoint_url`.
        anonymous: send no signature.
        verify_tls: check the server's certificate.
        ca_bundle: file with the certificates to trust instead of the well-known ones.
        timeout_s: how long the server may be silent.

    Raises:
        InvalidOptions: a profile or file that is missing, a malformed address, half a key.
    """

    def __init__(
        self,
        bucket: str | None,
        aws_region: str | None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_profile: str | None = None,
        name: str = "s3",
        *,
        endpoint_url: str | None = None,
        path_style: bool | None = None,
        aws_session_token: str | None = None,
        anonymous: bool = False,
        verify_tls: bool = True,
        ca_bundle: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(name)
        settings = Settings(
            region=aws_region or "",
            access_key_id=aws_access_key_id or "",
            secret_access_key=aws_secret_access_key or "",
            session_token=aws_session_token or "",
            profile=aws_profile or "",
            endpoint_url=endpoint_url or "",
            path_style=path_style,
            anonymous=anonymous,
            verify_tls=verify_tls,
            ca_bundle=ca_bundle or "",
            timeout_s=timeout_s,
        )
        settings.check()
        self.bucket = bucket or ""
        self.capabilities = Capabilities(
            containers_at_root=not self.bucket,
            create_containers=not self.bucket,
            parallel_parts=True,
            server_copy=True,
            path_or_prefix=True,
            max_path_bytes=1024,
        )
        self._connection = S3Connection(settings)
        self._known_buckets: set[str] = set()

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        place = self._place(as_folder(path))
        if place.bucket:
            pages = object_pages(self._connection, place.bucket, place.key, place.path, recursive=recursive)
        else:
            pages = bucket_pages(self._connection)
            if recursive:
                pages = self._with_contents(pages)
        for page in pages:
            if place.bucket:
                self._known_buckets.add(place.bucket)
            yield page

    def stat(self, path: str) -> ListEntry:
        place = self._place(path)
        if not place.key:
            return self._stat_bucket(place)
        deed = place.deed("look at", "read")
        if not path.endswith("/"):
            return _file_entry(split_path(path)[1], self._head(deed))
        has_more, _has_own = holds_anything(self._connection, deed)
        if not has_more:
            head = find_head(self._connection, deed)
            if head is None:
                raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=path)
            if head.get("ContentLength"):
                return _file_entry(split_path(path)[1], head)
        return ListEntry(split_path(path)[1], None, 0, EntryKind.FOLDER)

    # -- reading and writing -----------------------------------------------------------------------------------------

    def open(self, path: str, mode: FileMode | str) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if FileMode.write not in wanted:
            return self.open_reader(path)
        if FileMode.read not in wanted:
            return self.open_writer(path)
        place = self._place(path)
        return S3FileBase(wanted, place.bucket, place.key, None, connection=self._connection, path=path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> S3Reader:
        place = self._file(path)
        return S3Reader(
            place.bucket,
            place.key,
            None,
            connection=self._connection,
            path=path,
            offset=offset,
            length=length,
            etag=etag,
        )

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> S3Writer:
        place = self._file(path)
        self._prepare_writing(place)
        return S3Writer(
            place.bucket,
            place.key,
            None,
            SMALLEST_PART_BYTES,
            connection=self._connection,
            path=path,
            size_bytes=size_bytes,
            overwrite=overwrite,
            content_type=content_type,
        )

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        deed = self._file(path).deed("delete", "delete")
        with suppress(PermissionDenied):  # one may be allowed to delete what one may not look at
            self._head(deed)
        self._connection.refuse_folded(deed)
        delete_key(self._connection, deed)

    def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
        places = (self._file(path) for path in paths)
        for bucket, group in groupby(places, key=lambda place: place.bucket):
            yield from delete_keys(self._connection, bucket, ((place.key, place.path) for place in group))

    def delete_folder(self, path: str) -> None:
        place = self._place(as_folder(path))
        if not place.key:
            self._delete_bucket(place)
            return
        deed = place.deed("delete", "delete")
        head = find_head(self._connection, deed)
        if head is not None and not head.get("ContentLength"):  # with content it is a file of that name
            if self._connection.folds_names:
                self._delete_empty_below(place)
            delete_key(self._connection, deed)

    def make_folder(self, path: str) -> None:
        place = self._place(as_folder(path))
        if not place.key:
            self._make_bucket(place)
            return
        self._prepare_writing(place, is_folder=True)
        deed = place.deed("make", "write")
        if any(holds_anything(self._connection, deed)) or find_head(self._connection, deed) is not None:
            raise AlreadyExists(deed.sentence("it exists"), path=path)
        with self._connection.around(deed):
            self._connection.client.put_object(
                Bucket=place.bucket, Key=place.key, Body=b"", ContentType="application/x-directory"
            )

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old = self._file(source).deed("rename", "read")
        if source.endswith("/"):
            self._refuse_folder(old)
        if source == target:
            self._head(old)
            if not overwrite:
                raise AlreadyExists(old.sentence("it already has this name"), path=source)
            return
        self._connection.refuse_folded(old)
        size = self._copy(old, target, overwrite=overwrite)
        new = self._file(target).deed("rename", "write")
        copied = self._head(new)
        if int(copied["ContentLength"]) != size:
            raise ServerFault(new.sentence("the copy is not complete; the old file is still there"), path=source)
        delete_key(self._connection, replace(old, right="delete"))

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old = self._file(source).deed("copy", "read")
        if source == target:
            self._head(old)
            if not overwrite:
                raise AlreadyExists(old.sentence("it already has this name"), path=source)
            return
        self._copy(old, target, overwrite=overwrite)

    # -- the session -------------------------------------------------------------------------------------------------

    def check(self) -> str:
        connection = self._connection
        if not self.bucket:
            count = sum(len(page.entries) for page in bucket_pages(connection))
            return f"Connected to {connection.host}: {count} bucket{'' if count == 1 else 's'}."
        self._touch(Deed("list", "list", self.bucket, path=""))
        return f"Connected to the bucket “{readable(self.bucket)}” at {connection.host}."

    def interrupt(self) -> None:
        self._connection.interrupt()

    def shutdown(self) -> None:
        self._connection.close()

    # -- private -----------------------------------------------------------------------------------------------------

    def _place(self, path: str) -> Place:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError as exc:
            shown = readable(split_path(path)[1])
            raise InvalidName(f"The name “{shown}” is not valid Unicode, as S3 needs it.", path=path) from exc
        if self.bucket:
            return Place(self.bucket, path, path)
        bucket, _slash, key = path.partition("/")
        return Place(bucket, key, path)

    def _file(self, path: str) -> Place:
        place = self._place(path)
        if not place.key:
            what = f"“{readable(place.bucket)}” is a bucket" if place.bucket and path else "A file needs a name"
            raise IsAFolder(f"{what}: only folders and files in buckets can be used here.", path=path)
        return place

    def _head(self, deed: Deed) -> dict[str, Any]:
        head = find_head(self._connection, deed)
        if head is None:
            raise FileNotFoundInStorageError(deed.sentence("there is no such file"), path=deed.path)
        return head

    def _touch(self, deed: Deed) -> None:
        """See that a bucket is there and may be listed."""
        with self._connection.around(deed):
            answer = self._connection.client.list_objects_v2(Bucket=deed.bucket, MaxKeys=1)
        self._connection.expect(answer, "IsTruncated", deed)

    def _stat_bucket(self, place: Place) -> ListEntry:
        if not place.bucket:
            return ListEntry("", None, 0, EntryKind.FOLDER)
        self._touch(Deed("look at", "list", place.bucket, path=place.path))
        if self.bucket:
            return ListEntry("", None, 0, EntryKind.FOLDER)
        return ListEntry(place.bucket, None, 0, EntryKind.CONTAINER)

    def _with_contents(self, buckets: Iterator[Page]) -> Iterator[Page]:
        for page in buckets:
            yield page
            for bucket in page.entries:
                for inner in object_pages(self._connection, bucket.name, "", f"{bucket.name}/", recursive=True):
                    if inner.entries:
                        yield Page(tuple(replace(entry, name=f"{bucket.name}/{entry.name}") for entry in inner.entries))

    def _prepare_writing(self, place: Place, *, is_folder: bool = False) -> None:
        """See that the bucket is there: some servers make it at the first write, so that a mistyped name would become one.

        Raises:
            FileNotFoundInStorageError: no such bucket.
            InvalidName: the server would write to another key.
        """
        if place.bucket not in self._known_buckets:
            with self._connection.around(Deed("write to", "write", place.bucket, path=place.path)):
                try:
                    self._connection.client.head_bucket(Bucket=place.bucket)
                except ClientError as exc:
                    if error_code(exc) not in ("403", "400"):  # the write itself says it better
                        raise
            self._known_buckets.add(place.bucket)
        self._connection.refuse_folded(place.deed("write", "write"), slash_may_end=is_folder)

    def _make_bucket(self, place: Place) -> None:
        if self.bucket or not place.bucket:
            raise AlreadyExists("The root of the storage always exists.", path=place.path)
        connection = self._connection
        deed = Deed("make", "create", place.bucket, path=place.path)
        with connection.around(deed):
            try:
                connection.client.head_bucket(Bucket=place.bucket)
            except ClientError as exc:
                if error_code(exc) not in ("404", "403", "400", "301"):
                    raise
            else:
                raise AlreadyExists(deed.sentence("it exists"), path=place.path)
            region = connection.client.meta.region_name
            elsewhere = region not in ("us-east-1", "aws-global", "auto")
            options = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
            connection.client.create_bucket(Bucket=place.bucket, **options)
        self._known_buckets.add(place.bucket)

    def _delete_bucket(self, place: Place) -> None:
        if self.bucket or not place.bucket:
            raise NotSupported("The bucket of the connection cannot be deleted from here.", path=place.path)
        deed = Deed("delete", "delete", place.bucket, path=place.path)
        has_more, _own = holds_anything(self._connection, deed)
        if has_more:  # some servers would delete it with all that is in it
            raise FolderNotEmpty(deed.sentence("it is not empty"), path=place.path)
        with self._connection.around(deed):
            self._connection.client.delete_bucket(Bucket=place.bucket)
        self._known_buckets.discard(place.bucket)

    def _delete_empty_below(self, place: Place) -> None:
        """Delete the folders in a folder that nothing is left in: SeaweedFS keeps them as directories when their files go."""
        for page in object_pages(self._connection, place.bucket, place.key, place.path, recursive=False):
            for entry in page.entries:
                if entry.is_folder:
                    inner = Place(place.bucket, f"{place.key}{entry.name}/", f"{place.path}{entry.name}/")
                    self._delete_empty_below(inner)
                    if not holds_anything(self._connection, inner.deed("delete", "delete"))[0]:
                        delete_key(self._connection, inner.deed("delete", "delete"))

    def _refuse_folder(self, deed: Deed) -> None:
        """Tell a file whose name ends in "/" from a folder."""
        head = find_head(self._connection, deed)
        if head is not None and head.get("ContentLength"):
            return
        if head is None and not holds_anything(self._connection, deed)[0]:
            raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=deed.path)
        raise NotSupported(deed.sentence("S3 moves single files only"), path=deed.path)

    def _copy(self, source: Deed, target_path: str, *, overwrite: bool) -> int:
        place = self._file(target_path)
        self._prepare_writing(place)
        target = Deed(source.verb, "write", place.bucket, place.key, target_path, AlreadyExists)
        if overwrite and source.bucket == target.bucket and might_be_one(source.key, target.key):
            self._refuse_same_object(source, target)
        return copy_key(self._connection, source, target, overwrite=overwrite)

    def _refuse_same_object(self, source: Deed, target: Deed) -> None:
        """Servers on a file system take `a//b` for `a/b`: the copy would be the file itself, and moving would delete it."""
        one, other = self._head(source), find_head(self._connection, target)
        if other is not None and all(one.get(fact) == other.get(fact) for fact in ("ETag", "LastModified")):
            raise NotSupported(source.sentence("the server does not tell the two names apart"), path=source.path)


def _file_entry(name: str, head: dict[str, Any]) -> ListEntry:
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
