"""Amazon S3, and everything that speaks it, as a storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

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
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    InvalidName,
    IsAFolder,
    NotSupported,
    PermissionDenied,
    ServerFault,
    SourceChanged,
)
from kegbrowser.backends.proofs import Digests
from kegbrowser.backends.s3 import small_files, uploads
from kegbrowser.backends.s3.buckets import Buckets
from kegbrowser.backends.s3.changing import copy_key, delete_key, delete_keys, delete_unchanged, refuse_same_object
from kegbrowser.backends.s3.checksums import digests_of
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed, readable
from kegbrowser.backends.s3.files import S3FileBase
from kegbrowser.backends.s3.folders import delete_marker, make_marker, refuse_folder
from kegbrowser.backends.s3.heads import file_entry, find_head, require_head
from kegbrowser.backends.s3.listing import bucket_pages, holds_anything, object_pages
from kegbrowser.backends.s3.reader import S3Reader
from kegbrowser.backends.s3.sending import Target
from kegbrowser.backends.s3.settings import Settings
from kegbrowser.backends.s3.writer import S3Writer
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec

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
            resumable=True,
            path_or_prefix=True,
            max_path_bytes=1024,
        )
        self._connection = S3Connection(settings)
        self._buckets = Buckets(self._connection)

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
                self._buckets.remember(place.bucket)
            yield page

    def stat(self, path: str) -> ListEntry:
        place = self._place(path)
        if not place.key:
            return self._stat_bucket(place)
        deed = place.deed("look at", "read")
        if not path.endswith("/"):
            return file_entry(split_path(path)[1], require_head(self._connection, deed))
        has_more, _has_own = holds_anything(self._connection, deed)
        if not has_more:
            head = find_head(self._connection, deed)
            if head is None:
                raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=path)
            if head.get("ContentLength"):
                return file_entry(split_path(path)[1], head)
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
        self._prepare_writing(place.deed("write", "write"))
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

    def digests(self, path: str, *, etag: str = "") -> Digests:
        place = self._file(path)
        deed = place.deed("look at", "read")
        head = require_head(self._connection, deed, with_checksums=True)
        if etag and str(head.get("ETag", "")).strip('"') != etag:
            raise SourceChanged(deed.sentence("it was changed meanwhile"), path=path)
        return digests_of(head, place.bucket)

    # -- many small files --------------------------------------------------------------------------------------------

    def read_files(self, requests: Iterator[ReadRequest | None], in_flight: Callable[[], int]) -> Iterator[FileResult]:
        return small_files.read_files(self._connection, requests, in_flight, self._file)

    def write_files(
        self, requests: Iterator[WriteRequest | None], in_flight: Callable[[], int]
    ) -> Iterator[FileResult]:
        return small_files.write_files(self._connection, requests, in_flight, self._aim)

    # -- uploads in parts --------------------------------------------------------------------------------------------

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        target = self._target(spec)
        self._prepare_writing(target.deed)
        return uploads.begin(self._connection, spec, target)

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        return uploads.resume(self._connection, spec, self._target(spec), token, parts)

    def incomplete_uploads(self, path: str) -> Iterator[IncompleteUpload]:
        place = self._place(as_folder(path))
        if place.bucket:
            yield from self._incomplete(place)
            return
        for page in bucket_pages(self._connection):
            for bucket in page.entries:
                yield from self._incomplete(Place(bucket.name, "", f"{bucket.name}/"))

    def discard_upload(self, path: str, token: str) -> None:
        uploads.discard(self._connection, self._file(path).deed("remove the unfinished upload of", "write"), token)

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        deed = self._file(path).deed("delete", "delete")
        with suppress(PermissionDenied):  # one may be allowed to delete what one may not look at
            require_head(self._connection, deed)
        self._connection.refuse_folded(deed)
        delete_key(self._connection, deed)

    def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
        places = (self._file(path) for path in paths)
        for bucket, group in groupby(places, key=lambda place: place.bucket):
            yield from delete_keys(self._connection, bucket, ((place.key, place.path) for place in group))

    def delete_folder(self, path: str) -> None:
        place = self._place(as_folder(path))
        deed = place.deed("delete", "delete")
        if place.key:
            delete_marker(self._connection, deed)
        elif self.bucket or not place.bucket:
            raise NotSupported("The bucket of the connection cannot be deleted from here.", path=path)
        else:
            self._buckets.delete(deed)

    def make_folder(self, path: str) -> None:
        place = self._place(as_folder(path))
        if place.key:
            deed = place.deed("make", "write")
            self._prepare_writing(deed, is_folder=True)
            make_marker(self._connection, deed)
        elif self.bucket or not place.bucket:
            raise AlreadyExists("The root of the storage always exists.", path=path)
        else:
            self._buckets.make(place.deed("make", "create"))

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old = self._file(source).deed("rename", "read")
        if source.endswith("/"):
            refuse_folder(self._connection, old)
        if source == target:
            require_head(self._connection, old)
            if not overwrite:
                raise AlreadyExists(old.sentence("it already has this name"), path=source)
            return
        self._connection.refuse_folded(old)
        head = self._copy(old, target, overwrite=overwrite)
        new = self._file(target).deed("rename", "write")
        copied = require_head(self._connection, new)
        if copied["ContentLength"] != head["ContentLength"]:
            raise ServerFault(new.sentence("the copy is not complete; the old file is still there"), path=source)
        delete_unchanged(self._connection, replace(old, right="delete"), head)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old = self._file(source).deed("copy", "read")
        if source == target:
            require_head(self._connection, old)
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
        self._buckets.check(Deed("list", "list", self.bucket, path=""))
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

    def _target(self, file: UploadSpec | WriteRequest) -> Target:
        place = self._file(file.path)
        return Target.of(place.bucket, place.key, file.path, overwrite=file.overwrite, content_type=file.content_type)

    def _aim(self, request: WriteRequest) -> Target:
        target = self._target(request)
        self._prepare_writing(target.deed)
        return target

    def _incomplete(self, place: Place) -> Iterator[IncompleteUpload]:
        deed = place.deed("list the unfinished uploads of", "list")
        return uploads.incomplete(self._connection, deed, "" if self.bucket else f"{place.bucket}/")

    def _stat_bucket(self, place: Place) -> ListEntry:
        if not place.bucket:
            return ListEntry("", None, 0, EntryKind.FOLDER)
        self._buckets.check(Deed("look at", "list", place.bucket, path=place.path))
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

    def _copy(self, source: Deed, target_path: str, *, overwrite: bool) -> dict[str, Any]:
        place = self._file(target_path)
        target = Deed(source.verb, "write", place.bucket, place.key, target_path, AlreadyExists)
        self._prepare_writing(target)
        refuse_same_object(self._connection, source, target)
        return copy_key(self._connection, source, target, overwrite=overwrite)

    def _prepare_writing(self, deed: Deed, *, is_folder: bool = False) -> None:
        self._buckets.require(deed)
        self._connection.refuse_folded(deed, slash_may_end=is_folder)
