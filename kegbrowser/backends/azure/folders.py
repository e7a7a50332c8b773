"""Folders and containers: prefixes, their markers, and what is above them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties

from kegbrowser.backends.azure.changing import delete_blob
from kegbrowser.backends.azure.deeds import Deed, readable
from kegbrowser.backends.azure.listing import blob_of_name, first_found
from kegbrowser.backends.azure.names import check_new_name, check_sendable, is_container_name, is_doubtful
from kegbrowser.backends.azure.service import AzureConnection
from kegbrowser.backends.base import EntryKind, ListEntry, split_path
from kegbrowser.backends.errors import AlreadyExists, FileNotFoundInStorageError, FolderNotEmpty, InvalidName

_CONTAINER_HINT = "Use 3 to 63 small letters, digits and single hyphens."


# -- what is there ---------------------------------------------------------------------------------------------------------


def find_folder(connection: AzureConnection, deed: Deed) -> ListEntry | None:
    """The folder that the deed is about (its name ends in "/"); None if there is nothing below it and no marker of it."""
    name = split_path(deed.blob)[1]
    for blob in first_found(connection, deed, deed.blob, 2):
        if blob.name != deed.blob:
            return ListEntry(name, None, 0, EntryKind.FOLDER)
        if blob.is_marker:
            return ListEntry(name, blob.modified, 0, EntryKind.FOLDER)
    facts = find_mark(connection, deed)
    return None if facts is None else ListEntry(name, facts.last_modified, 0, EntryKind.FOLDER)


def find_mark(connection: AzureConnection, deed: Deed) -> BlobProperties | None:
    """The blob without the last slash, if it is marked as a folder by its metadata."""
    marker = deed.blob[:-1]
    if not marker or marker.endswith("/") or is_doubtful(marker):
        return None
    facts = find_blob(connection, replace(deed, blob=marker))
    return facts if facts is not None and is_folder_mark(facts) else None


def find_blob(connection: AzureConnection, deed: Deed) -> BlobProperties | None:
    """The facts of a blob; None if there is none."""
    check_sendable(deed)
    with connection.around(deed):
        try:
            return connection.service.get_blob_client(deed.container, deed.blob).get_blob_properties()
        except ResourceNotFoundError as exc:
            if str(getattr(exc, "error_code", "")).endswith(("BlobNotFound", "BLOB_NOT_FOUND")):
                return None
            raise


def describe(connection: AzureConnection, deed: Deed) -> ListEntry:
    """The entry for a file, with the facts for its properties.

    Raises:
        FileNotFoundInStorageError: there is none.
    """
    name = split_path(deed.blob)[1]
    if is_doubtful(deed.blob):  # only a listing tells of the blob of exactly this name
        found = blob_of_name(connection, deed, deed.blob)
        if found is not None:
            return found.entry(name)
    else:
        facts = find_blob(connection, deed)
        if facts is not None:
            return _entry(name, facts)
    raise FileNotFoundInStorageError(deed.sentence("there is no such file"), path=deed.path)


def is_folder_mark(facts: BlobProperties) -> bool:
    """Whether a blob stands for a folder, as Hadoop, azcopy and accounts with real folders mark it."""
    metadata: dict[str, str] = facts.metadata or {}
    return not facts.size and any(
        key.lower() == "hdi_isfolder" and value.lower() == "true" for key, value in metadata.items()
    )


def _entry(name: str, blob: BlobProperties) -> ListEntry:
    if is_folder_mark(blob):
        return ListEntry(name, blob.last_modified, 0, EntryKind.FOLDER)
    content: Any = blob.content_settings
    facts = [
        ("Type", _KINDS.get(str(getattr(blob.blob_type, "value", blob.blob_type)), "")),
        ("Created", f"{blob.creation_time:%Y-%m-%d %H:%M:%S} UTC" if blob.creation_time else ""),
        ("MD5", bytes(content.content_md5).hex() if content.content_md5 else ""),
        ("Content encoding", content.content_encoding),
        ("Content language", content.content_language),
        ("Content disposition", content.content_disposition),
        ("Cache control", content.cache_control),
        ("Archive", blob.archive_status),
        ("Lease", blob.lease.state if blob.lease.state not in (None, "available") else ""),
        ("Encryption scope", blob.encryption_scope),
        *((f"Metadata: {key}", value) for key, value in sorted((blob.metadata or {}).items())),
    ]
    return ListEntry(
        name,
        blob.last_modified,
        blob.size,
        etag=str(blob.etag or "").strip('"'),
        content_type=content.content_type or "",
        storage_class=str(blob.blob_tier or ""),
        extra=tuple((label, str(value)) for label, value in facts if value),
    )


_KINDS = {"PageBlob": "page blob", "AppendBlob": "append blob"}


# -- folders ---------------------------------------------------------------------------------------------------------------


def make_folder(connection: AzureConnection, deed: Deed) -> None:
    """Make a folder's marker: an empty blob whose name ends in "/".

    Raises:
        AlreadyExists: the marker, or something below it, is there.
    """
    check_new_name(deed)
    if find_folder(connection, deed) is not None:
        raise AlreadyExists(deed.sentence("it exists already"), path=deed.path)
    with connection.around(replace(deed, if_condition_fails=AlreadyExists)):
        connection.service.get_blob_client(deed.container, deed.blob).upload_blob(b"", length=0, overwrite=False)


def remove_folder(connection: AzureConnection, deed: Deed) -> None:
    """Remove a folder's markers, of both kinds; a blob with content is left alone."""
    found = blob_of_name(connection, deed, deed.blob)
    if found is not None and found.is_marker:
        delete_blob(connection, deed, found.etag)
    facts = find_mark(connection, deed)
    if facts is not None:
        delete_blob(connection, replace(deed, blob=deed.blob[:-1]), str(facts.etag or "").strip('"'))


# -- containers ------------------------------------------------------------------------------------------------------------


def require_container_name(deed: Deed) -> None:
    """Raise FileNotFoundInStorageError for a name that no container can have."""
    if not is_container_name(deed.container):
        raise FileNotFoundInStorageError(
            deed.sentence(f"there is no container “{readable(deed.container)}”"), path=deed.path
        )


def describe_container(connection: AzureConnection, deed: Deed) -> ListEntry:
    with connection.around(deed):
        facts = connection.service.get_container_client(deed.container).get_container_properties()
    return ListEntry(deed.container, facts.last_modified, 0, EntryKind.CONTAINER)


def make_container(connection: AzureConnection, deed: Deed) -> None:
    if not is_container_name(deed.container):
        what = f"“{readable(deed.container)}” cannot be the name of a container."
        raise InvalidName(what, path=deed.path, hint=_CONTAINER_HINT)
    with connection.around(deed):
        connection.service.create_container(deed.container)


def remove_container(connection: AzureConnection, deed: Deed) -> None:
    """Remove an empty container.

    Raises:
        FolderNotEmpty: blobs are in it.
    """
    if first_found(connection, deed, "", 1):
        raise FolderNotEmpty(deed.sentence("it is not empty"), path=deed.path)
    with connection.around(deed):
        connection.service.delete_container(deed.container)
