"""An Azure storage account, or one of its containers, behind the contract."""

from __future__ import annotations

import mimetypes
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from azure.core import MatchConditions
from azure.storage.blob import BlobPrefix, BlobProperties, ContainerClient

from kegbrowser.backends._sockets import LiveSockets
from kegbrowser.backends.azure.files import MAX_BLOCKS, AzureReader, AzureWriter
from kegbrowser.backends.azure.service import make_service
from kegbrowser.backends.azure.translate import server_of, shown, translated
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
    AuthenticationFailed,
    CredentialsExpired,
    FileNotFoundInStorageError,
    FolderNotEmpty,
    InvalidName,
    InvalidOptions,
    IsAFolder,
    NotSupported,
    PermissionDenied,
    SourceChanged,
    StorageError,
)

PAGE_ENTRIES = 5000
FIRST_PAGE_ENTRIES = 1000
BLOCK_BYTES = 4 * 1024 * 1024
LARGE_BLOCK_BYTES = 8 * 1024 * 1024
MAX_NAME_CHARACTERS = 1024
DELETE_THREADS = 8
COPY_POLL_S = 0.2
DEFAULT_BUFFER_BYTES = 10_485_760
_CONTAINER_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web")


class AzureStorage(StorageBackend):
    """Blobs of one container, or of all containers of an account. Any thread.

    Args:
        account: the storage account's name; None with a connection string.
        key: its key, Base64; None for a SAS, a connection string or public containers.
        bucket: the container; None lists all: the first part of a path is then the container.
        name: as it is called in messages.
        endpoint: URL of the blob service, where it is not the public cloud's.
        connection_string: instead of account, key and endpoint.
        sas_token: shared access signature instead of the key.
        verify_tls: False trusts any certificate.
        connect_timeout_s, timeout_s: until connected; of silence in the middle.
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
        connect_timeout_s: float = 10.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(name)
        if not account and not connection_string and not endpoint:
            raise InvalidOptions("“Account” is missing.", hint="Fill in “Account”.")
        self._sockets = LiveSockets(stall_timeout_s=timeout_s)
        self._stop = threading.Event()
        self.service, self._session = make_service(
            account=account,
            key=key,
            endpoint=endpoint,
            connection_string=connection_string,
            sas_token=sas_token,
            verify_tls=verify_tls,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
            sockets=self._sockets,
        )
        self._container = bucket or ""
        self._server = server_of(self.service.url)
        self._sas_end = _end_of(sas_token or "")
        self.capabilities = Capabilities(
            containers_at_root=not self._container,
            create_containers=not self._container,
            parallel_parts=True,
            server_copy=True,
            path_or_prefix=True,
            max_path_bytes=MAX_NAME_CHARACTERS,
        )

    # -- reading and writing -----------------------------------------------------------------------------------------

    def open(self, path: str, mode: FileMode | str, buffer_size: int = DEFAULT_BUFFER_BYTES) -> RemoteFile:
        wanted = FileMode.as_mode(mode)
        if wanted == FileMode.read:
            return self._reader(path, buffer_size)
        if wanted == FileMode.write:
            container, blob = self._blob_of(path, "save")
            return AzureWriter(
                container,
                blob,
                wanted,
                self.service,
                buffer_size,
                content_type=_type_of(blob),
                guard=self._translated,
                known_as=path,
            )
        raise NotSupported(f"“{shown(path)}” can be opened for reading or for writing, not for both.", path=path)

    def open_reader(self, path: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> RemoteFile:
        return self._reader(path, 4 * DEFAULT_BUFFER_BYTES, offset, length, etag)

    def open_writer(
        self,
        path: str,
        *,
        size_bytes: int | None = None,
        overwrite: bool = True,
        modified: datetime | None = None,
        content_type: str = "",
    ) -> RemoteFile:
        container, blob = self._blob_of(path, "save")
        block_bytes = BLOCK_BYTES if size_bytes is None else max(LARGE_BLOCK_BYTES, -(-size_bytes // MAX_BLOCKS))
        return AzureWriter(
            container,
            blob,
            FileMode.write,
            self.service,
            block_bytes,
            overwrite=overwrite,
            content_type=content_type or _type_of(blob),
            guard=self._translated,
            known_as=path,
        )

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_pages(self, path: str, *, recursive: bool = False) -> Iterator[Page]:
        container, prefix = self._split(path)
        if not container:
            yield from self._container_pages(recursive=recursive)
            return
        prefix = as_folder(prefix)
        found = told = False
        for page in self._blob_pages(container, prefix, recursive=recursive, path=path):
            entries = tuple(_entries(page, prefix))
            found = found or bool(page)
            if entries:
                told = True
                yield Page(entries)
        if not found and prefix:
            raise FileNotFoundInStorageError(f"Could not list “{shown(path)}”: there is no such folder.", path=path)
        if not told:
            yield Page(())

    def stat(self, path: str) -> ListEntry:
        container, blob = self._split(path)
        name = split_path(path)[1]
        if not blob:
            if container:
                with self._translated("find", path):
                    facts = self.service.get_container_client(container).get_container_properties()
                return ListEntry(name, facts.last_modified, 0, EntryKind.CONTAINER)
            return ListEntry("", None, 0, EntryKind.FOLDER)
        if blob.endswith("/") and self._is_folder(container, blob, path):
            return ListEntry(name, None, 0, EntryKind.FOLDER)
        with self._translated("find", path):
            properties = self.service.get_blob_client(container, blob).get_blob_properties()
        return _file_entry(name, properties)

    def check(self) -> str:
        for page in self.list_pages(""):
            what = "containers" if not self._container else "entries"
            return f"Connected to {self._server}: {len(page.entries)} {what} on the first page."
        return f"Connected to {self._server}."

    # -- changing ----------------------------------------------------------------------------------------------------

    def delete(self, path: str) -> None:
        container, blob = self._blob_of(path, "delete")
        with self._translated("delete", path):
            self.service.get_blob_client(container, blob).delete_blob(delete_snapshots="include")

    def delete_files(self, paths: Iterable[str]) -> Iterator[DeleteResult]:
        def delete_one(path: str) -> DeleteResult:
            try:
                self.delete(path)
            except FileNotFoundInStorageError:
                return DeleteResult(path)
            except StorageError as error:
                return DeleteResult(path, error)
            return DeleteResult(path)

        batch: list[str] = []
        with ThreadPoolExecutor(DELETE_THREADS, thread_name_prefix="azure-delete") as pool:
            for path in paths:
                batch.append(path)
                if len(batch) >= 256:
                    yield from pool.map(delete_one, batch)
                    batch = []
            yield from pool.map(delete_one, batch)

    def delete_folder(self, path: str) -> None:
        container, prefix = self._split(path)
        if container and not prefix:
            self._delete_container(container, path)
            return
        marker = as_folder(prefix)
        with self._translated("delete", path):
            client = self.service.get_blob_client(container, marker)
            if client.exists() and not client.get_blob_properties().size:
                client.delete_blob()

    def make_folder(self, path: str) -> None:
        container, prefix = self._split(path)
        if container and not prefix:
            if not _CONTAINER_NAME.fullmatch(container):
                raise InvalidName(
                    f"“{shown(path)}” cannot be the name of a container.",
                    path=path,
                    hint="Use 3 to 63 small letters, digits and single hyphens.",
                )
            with self._translated("make", path):
                self.service.create_container(container)
            return
        marker = as_folder(prefix)
        self._check_name(marker, path)
        for page in self._blob_pages(container, marker, recursive=True, path=path, most=1, verb="make"):
            if page:
                raise AlreadyExists(f"The folder “{shown(path)}” exists already.", path=path)
        with self._translated("make", path):
            self.service.get_blob_client(container, marker).upload_blob(b"", overwrite=True)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        if source.endswith("/") and self._split(source)[1] and self._is_folder(*self._split(source), source):
            raise NotSupported(f"{self._server} cannot rename a folder in one step.", path=source)
        if source == target:
            self.stat(source)
            return  # a copy onto itself and then the deletion would lose it
        self.copy(source, target, overwrite=overwrite)
        self.delete(source)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        container, blob = self._blob_of(source, "copy")
        new_container, new_blob = self._blob_of(target, "copy")
        original = self.service.get_blob_client(container, blob)
        client = self.service.get_blob_client(new_container, new_blob)
        condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
        with self._translated("copy", source):
            try:
                answer = client.start_copy_from_url(original.url, **condition)
            except Exception as exc:
                if not overwrite and getattr(exc, "status_code", 0) in (409, 412):
                    raise AlreadyExists(f"“{shown(target)}” exists already.", path=target) from exc
                raise
            status: object = answer["copy_status"]
            while status == "pending":
                self._sockets.check()
                self._stop.wait(COPY_POLL_S)
                status = client.get_blob_properties().copy.status
        if status != "success":
            raise StorageError(f"Could not copy “{shown(source)}”: the service ended it as “{status}”.", path=source)

    def interrupt(self) -> None:
        self._sockets.interrupt()
        self._stop.set()

    def shutdown(self) -> None:
        self._session.close()
        self._sockets.close()

    # -- private -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        self._sockets.check()
        try:
            container = self._split(path)[0]
            with translated(verb, path, self._server, lambda: self._sockets.is_interrupted, container):
                yield
        except (AuthenticationFailed, PermissionDenied) as error:
            if self._sas_end is not None and self._sas_end < datetime.now(UTC):
                when = f"{self._sas_end:%Y-%m-%d %H:%M} UTC"
                raise CredentialsExpired(f"The shared access signature has expired at {when}.", path=path) from error
            raise

    def _split(self, path: str) -> tuple[str, str]:
        """Container and the rest of a path."""
        if self._container:
            return self._container, path
        container, _slash, rest = path.partition("/")
        return container, rest

    def _blob_of(self, path: str, verb: str) -> tuple[str, str]:
        container, blob = self._split(path)
        if not container or not blob:
            raise IsAFolder(f"Could not {verb} “{shown(path)}”: it is no file.", path=path)
        self._check_name(blob, path)
        return container, blob

    def _check_name(self, blob: str, path: str) -> None:
        """What the service documents in "Naming and Referencing Containers, Blobs, and Metadata"; parts that are `.` or `..` are
        resolved by everything on the way, the service included, so they would name another blob."""
        reason = ""
        if len(blob) > MAX_NAME_CHARACTERS:
            reason = "1,024 characters are allowed"
        elif "\\" in blob:
            reason = "it would turn “\\” into “/”"
        elif any(part in (".", "..") for part in blob.split("/")):
            reason = "“.” and “..” cannot be parts of a name"
        elif any(character < " " or "\x7f" <= character <= "\x9f" for character in blob):
            reason = "control characters are not allowed"
        elif any("\ud800" <= character <= "\udfff" for character in blob):
            reason = "it is no valid text"
        if reason:
            raise InvalidName(f"The service cannot store “{shown(path)[:80]}”: {reason}.", path=path)

    def _reader(
        self, path: str, chunk_size: int, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> RemoteFile:
        container, blob = self._blob_of(path, "open")
        try:
            return AzureReader(
                container,
                blob,
                FileMode.read,
                self.service,
                chunk_size,
                offset=offset,
                length=length,
                etag=etag,
                guard=self._translated,
                known_as=path,
            )
        except SourceChanged as exc:
            raise SourceChanged(f"“{shown(path)}” has changed.", path=path) from exc

    def _container_pages(self, *, recursive: bool) -> Iterator[Page]:
        pages = self.service.list_containers(results_per_page=PAGE_ENTRIES).by_page()
        told = False
        while True:
            with self._translated("list", ""):
                page = next(pages, None)
                containers = [] if page is None else list(page)
            if page is None:
                break
            entries = [ListEntry(one.name, one.last_modified, 0, EntryKind.CONTAINER) for one in containers]
            if entries:
                told = True
                yield Page(tuple(entries))
            for entry in entries if recursive else ():
                for below in self._blob_pages(entry.name, "", recursive=True, path=entry.name):
                    yield Page(tuple(_entries(below, "", f"{entry.name}/")))
        if not told:
            yield Page(())

    def _blob_pages(
        self,
        container: str,
        prefix: str,
        *,
        recursive: bool,
        path: str,
        most: int = PAGE_ENTRIES,
        verb: str = "list",
    ) -> Iterator[list[BlobProperties | BlobPrefix]]:
        client: ContainerClient = self.service.get_container_client(container)
        # A short first page is there soon; the others are as long as the service makes them.
        size, token = min(most, FIRST_PAGE_ENTRIES), ""
        while True:
            listed: Any
            if recursive:
                listed = client.list_blobs(name_starts_with=prefix or None, results_per_page=size)
            else:
                listed = client.walk_blobs(name_starts_with=prefix or None, delimiter="/", results_per_page=size)
            pages: Any = listed.by_page(continuation_token=token or None)
            while True:
                with self._translated(verb, path):
                    page = next(pages, None)
                    if page is None:
                        return
                    items = list(page)
                yield items
                token = str(pages.continuation_token or "")
                if not token:
                    return
                if size != most:
                    size = most
                    break

    def _is_folder(self, container: str, blob: str, path: str) -> bool:
        """Whether something lies below a prefix, or its marker is there."""
        for page in self._blob_pages(container, blob, recursive=True, path=path, most=2, verb="find"):
            return any(item.name != blob or not getattr(item, "size", 0) for item in page)
        return False

    def _delete_container(self, container: str, path: str) -> None:
        for page in self._blob_pages(container, "", recursive=True, path=path, most=1, verb="delete"):
            if page:
                raise FolderNotEmpty(f"Could not delete “{shown(path)}”: the container is not empty.", path=path)
        with self._translated("delete", path):
            self.service.delete_container(container)


def _entries(items: Iterable[BlobProperties | BlobPrefix], prefix: str, above: str = "") -> Iterator[ListEntry]:
    for item in items:
        name = item.name[len(prefix) :]
        if isinstance(item, BlobPrefix):
            yield ListEntry(above + name.removesuffix("/"), None, 0, EntryKind.FOLDER)
        elif item.name.endswith("/") and not item.size:
            if name:  # the marker of the folder itself is no entry of it
                yield ListEntry(above + name[:-1], item.last_modified, 0, EntryKind.FOLDER)
        else:
            yield _file_entry(above + name, item)


def _file_entry(name: str, blob: BlobProperties) -> ListEntry:
    settings = blob.content_settings
    return ListEntry(
        name,
        blob.last_modified,
        blob.size,
        EntryKind.FILE,
        etag=str(blob.etag or "").strip('"'),
        content_type=(settings.content_type if settings is not None else None) or "",
        storage_class=str(blob.blob_tier or ""),
    )


def _end_of(sas_token: str) -> datetime | None:
    """When a shared access signature ends; None if it does not say so itself."""
    end = parse_qs(sas_token.strip().lstrip("?")).get("se", [""])[0]
    try:
        moment = datetime.fromisoformat(end)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _type_of(blob: str) -> str:
    return mimetypes.guess_type(blob)[0] or "application/octet-stream"
