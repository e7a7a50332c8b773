"""An Azure storage account, or one of its containers, behind the contract."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from azure.storage.blob import BlobServiceClient

from kegbrowser.backends.azure.blocks import MAX_BLOB_BYTES, MIB, BlockPlan
from kegbrowser.backends.azure.calls import Guard
from kegbrowser.backends.azure.changing import Deleter, copy_blob, delete_blob, mark_of, move_blob
from kegbrowser.backends.azure.deeds import Deed, last_name
from kegbrowser.backends.azure.folders import (
    describe,
    describe_container,
    find_folder,
    find_mark,
    make_container,
    make_folder,
    remove_container,
    remove_folder,
    require_container_name,
)
from kegbrowser.backends.azure.listing import Level, container_pages, found_pages
from kegbrowser.backends.azure.names import MAX_CHARACTERS, check_new_name, check_sendable
from kegbrowser.backends.azure.reader import AzureReader
from kegbrowser.backends.azure.service import AzureConnection, AzureSettings
from kegbrowser.backends.azure.small_files import read_file, write_file
from kegbrowser.backends.azure.uploads import begin_upload, resume_upload
from kegbrowser.backends.azure.writer import AzureWriter
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
)
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    IsAFolder,
    NotSupported,
    QuotaExceeded,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.one_by_one import on_threads
from kegbrowser.backends.proofs import Digests
from kegbrowser.backends.uploads import Part, PartedUpload, UploadSpec

READ_AT_ONCE_BYTES = 32 * MIB
LEAST_BLOCK_BYTES = 8 * MIB
BLOCK_BYTES = 4 * MIB
DEFAULT_BUFFER_BYTES = 10_485_760


class AzureStorage(StorageBackend):
    """Blobs of one container, or of all containers of an account. Any thread.

    A folder is what blobs' names have before a "/"; an empty one is an empty blob `x/`, and an empty blob `x` with the metadata
    `hdi_isfolder` is read as one as well. Names that the service would change (a part that ends in a dot, `\\`) or cannot hold
    (control characters, more than 1,024 letters or 254 parts) are refused when something new is to get them: see `names`.

    Args:
        account: the storage account's name; None with a connection string.
        key: its key, Base64; None for a SAS, a connection string or public containers.
        bucket: the container; None lists all: the first part of a path is then the container.
        name: as it is called in messages.
        endpoint: URL of the blob service, where it is not the public cloud's.
        connection_string: instead of account, key and endpoint.
        sas_token: shared access signature instead of the key.
        verify_tls: False trusts any certificate.
        ca_bundle: PEM file of the authority to trust.
        connect_timeout_s, timeout_s: until connected; of silence in the middle.

    Attributes:
        service: the SDK's client.

    Raises:
        InvalidOptions: something is missing or malformed; never shows a secret.
    """

    def __init__(
        self,
        account: str | None,
        key: str | None,
        bucket: str | None,
        name: str = "azure",
        *,
        endpoint: str | None = None,
        connection_string: str | None = None,
        sas_token: str | None = None,
        verify_tls: bool = True,
        ca_bundle: str | None = None,
        connect_timeout_s: float = 10.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(name)
        self._container = bucket or ""
        self._connection = AzureConnection(
            AzureSettings(
                account=account or "",
                key=key or "",
                endpoint=endpoint or "",
                connection_string=connection_string or "",
                sas_token=sas_token or "",
                verify_tls=verify_tls,
                ca_bundle=ca_bundle or "",
                connect_timeout_s=connect_timeout_s,
                timeout_s=timeout_s,
            )
        )
        self.service: BlobServiceClient = self._connection.service
        self._deleter = Deleter(self._connection)
        self.capabilities = Capabilities(
            containers_at_root=not self._container,
            create_containers=not self._container,
            parallel_parts=True,
            server_copy=True,
            resumable=True,
            path_or_prefix=True,
            max_path_bytes=MAX_CHARACTERS,
        )

    # -- reading and writing -----------------------------------------------------------------------------------------

    def open(self, path: str, mode: FileMode | str, buffer_size: int = DEFAULT_BUFFER_BYTES) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if FileMode.read in wanted and FileMode.write in wanted:
            what = f"“{last_name(path)}” can be opened for reading or for writing, not for both."
            raise NotSupported(what, path=path)
        return (
            self._reader(path, buffer_size) if FileMode.read in wanted else self._writer(path, BlockPlan(buffer_size))
        )

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        return self._reader(path, READ_AT_ONCE_BYTES, offset, length, etag)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        plan = BlockPlan(BLOCK_BYTES) if size_bytes is None else BlockPlan.for_size(size_bytes, LEAST_BLOCK_BYTES)
        if (size_bytes or 0) > MAX_BLOB_BYTES:
            deed = self._file("save", "write", path)
            raise QuotaExceeded(deed.sentence("a blob holds 190.7 TiB at most"), path=path)
        return self._writer(path, plan, overwrite=overwrite, content_type=content_type)

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        deed = self._deed("list", "list", as_folder(path))
        if not deed.container:
            yield from self._account_pages(recursive=recursive)
            return
        require_container_name(deed)
        check_sendable(deed)
        level = Level(deed.blob)
        is_empty = True
        for found in found_pages(self._connection, deed, deed.blob, recursive=recursive):
            page = level.page(found)
            if page:
                is_empty = False
                yield page
        if not is_empty:
            return
        if deed.blob and not level.found_any and find_mark(self._connection, deed) is None:
            raise FileNotFoundInStorageError(deed.sentence("there is no such folder"), path=path)
        yield Page(())

    def stat(self, path: str) -> ListEntry:
        deed = self._deed("find", "read", path)
        if not deed.container:
            return ListEntry("", None, 0, EntryKind.FOLDER)
        require_container_name(deed)
        if not deed.blob:
            if self._container:
                return ListEntry("", None, 0, EntryKind.FOLDER)
            return describe_container(self._connection, deed)
        check_sendable(deed)
        if deed.blob.endswith("/"):
            folder = find_folder(self._connection, deed)
            if folder is not None:
                return folder
        return describe(self._connection, deed)

    def check(self) -> str:
        for _page in self.list_pages(""):
            break
        what = f"the container “{self._container}” on " if self._container else ""
        return f"Connected to {what}{self._connection.server}."

    def digests(self, path: str, *, etag: str = "") -> Digests:
        deed = self._file("look at", "read", path)
        with self._connection.around(deed):
            found = self.service.get_blob_client(deed.container, deed.blob).get_blob_properties()
        mark = str(found.etag or "").strip('"')
        if etag and mark and mark != etag:
            raise SourceChanged(deed.sentence("it has changed meanwhile"), path=path)
        md5 = found.content_settings.content_md5
        return Digests({"md5": bytes(md5).hex()}, "") if md5 else Digests(reason="Azure keeps no checksum of it")

    def read_files(self, requests: Iterator[ReadRequest | None], in_flight: Callable[[], int]) -> Iterator[FileResult]:
        return on_threads(lambda request: read_file(self._whole, request), requests, in_flight)

    def write_files(
        self, requests: Iterator[WriteRequest | None], in_flight: Callable[[], int]
    ) -> Iterator[FileResult]:
        return on_threads(lambda request: write_file(self, request), requests, in_flight)

    # -- uploads in parts --------------------------------------------------------------------------------------------

    def begin_upload(self, spec: UploadSpec) -> PartedUpload:
        return begin_upload(self.service, *self._for_upload(spec))

    def resume_upload(self, spec: UploadSpec, token: str, parts: Mapping[int, Part]) -> PartedUpload:
        return resume_upload(self.service, *self._for_upload(spec), token, parts)

    def discard_upload(self, path: str, token: str) -> None:
        """Nothing can be done: blocks that were never committed are invisible, and the service drops them after a week."""

    def _for_upload(self, spec: UploadSpec) -> tuple[Deed, UploadSpec, Guard, str]:
        deed = self._file("save", "write", spec.path)
        check_new_name(deed)
        if spec.size_bytes > MAX_BLOB_BYTES:
            raise NotSupported(deed.sentence("a blob holds 190.7 TiB at most"), path=spec.path, hint="Split the file.")
        if not spec.overwrite:
            deed = replace(deed, if_condition_fails=AlreadyExists)
        content_type = spec.content_type or mimetypes.guess_type(deed.blob)[0] or "application/octet-stream"
        return deed, spec, self._connection.around, content_type

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        delete_blob(self._connection, self._file("delete", "delete", path))

    def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
        def deeds() -> Iterator[Deed | DeleteResult]:
            for path in paths:
                try:
                    deed = self._file("delete", "delete", path)
                    check_sendable(deed)
                except FileNotFoundInStorageError:
                    yield DeleteResult(path)
                except StorageError as error:
                    yield DeleteResult(path, error)
                else:
                    yield deed

        return self._deleter.delete(deeds())

    def delete_folder(self, path: str) -> None:
        deed = self._deed("delete", "delete", as_folder(path))
        require_container_name(deed)
        check_sendable(deed)
        if deed.blob:
            remove_folder(self._connection, deed)
        elif self._container:
            raise NotSupported(deed.sentence("it is the container of this connection"), path=path)
        else:
            remove_container(self._connection, deed)

    def make_folder(self, path: str) -> None:
        deed = self._deed("make", "make", as_folder(path))
        if deed.blob:
            require_container_name(deed)
            make_folder(self._connection, deed)
        else:
            make_container(self._connection, deed)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old, new = self._file("rename", "read", source), self._file("save", "write", target)
        if old.blob.endswith("/") and find_folder(self._connection, old) is not None:
            raise NotSupported(old.sentence("Azure has no renaming of folders"), path=source)
        if source == target:
            self.stat(source)  # a copy onto itself and then the deletion would lose it
            return
        move_blob(self._connection, old, new, overwrite=overwrite)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        old, new = self._file("copy", "read", source), self._file("save", "write", target)
        copy_blob(self._connection, old, new, overwrite=overwrite)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def shutdown(self) -> None:
        self._connection.shutdown()

    # -- private -----------------------------------------------------------------------------------------------------

    def _deed(self, verb: str, right: str, path: str) -> Deed:
        if self._container:
            return Deed(verb, right, self._container, path, path)
        container, _slash, blob = path.partition("/")
        return Deed(verb, right, container, blob, path)

    def _file(self, verb: str, right: str, path: str) -> Deed:
        """The deed for a file; `IsAFolder` for the root and for containers."""
        deed = self._deed(verb, right, path)
        if not deed.container or not deed.blob:
            raise IsAFolder(deed.sentence("it is no file"), path=path)
        require_container_name(deed)
        return deed

    def _whole(self, path: str, etag: str) -> AzureReader:
        return self._reader(path, READ_AT_ONCE_BYTES, etag=etag)

    def _reader(
        self, path: str, chunk_size: int, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> AzureReader:
        deed = self._file("open", "read", path)
        mark = mark_of(self._connection, deed)
        if mark and etag and mark != etag:
            raise SourceChanged(deed.sentence("it has changed meanwhile"), path=path)
        return AzureReader(
            deed.container,
            deed.blob,
            FileMode.read,
            self.service,
            chunk_size,
            offset=offset,
            length=length,
            etag=etag or mark,
            guard=self._connection.around,
            shown_path=path,
        )

    def _writer(self, path: str, plan: BlockPlan, *, overwrite: bool = True, content_type: str = "") -> RemoteFile:
        deed = self._file("save", "write", path)
        return AzureWriter(
            deed.container,
            deed.blob,
            FileMode.write,
            self.service,
            plan.first_bytes,
            overwrite=overwrite,
            content_type=content_type or mimetypes.guess_type(deed.blob)[0] or "application/octet-stream",
            plan=plan,
            guard=self._connection.around,
            shown_path=path,
        )

    def _account_pages(self, *, recursive: bool) -> Iterator[Page]:
        for page in container_pages(self._connection):
            yield page
            for entry in page.entries if recursive else ():
                deed = Deed("list", "list", entry.name, "", entry.name)
                level = Level("", above=f"{entry.name}/")
                for found in found_pages(self._connection, deed, "", recursive=True):
                    if inner := level.page(found):
                        yield inner
