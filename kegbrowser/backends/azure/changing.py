"""Copying, moving and deleting blobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobClient

from kegbrowser.backends.azure.calls import blob_url
from kegbrowser.backends.azure.deeds import Deed, last_name
from kegbrowser.backends.azure.listing import blob_of_name
from kegbrowser.backends.azure.names import check_new_name, check_sendable, is_doubtful
from kegbrowser.backends.azure.service import AzureConnection
from kegbrowser.backends.base import DeleteResult
from kegbrowser.backends.errors import (
    AlreadyExists,
    Cancelled,
    ConnectionLost,
    FileNotFoundInStorageError,
    ServerFault,
    SourceChanged,
    StorageError,
)

BATCH = 256
"""Deletions in one request ("Blob Batch")."""
THREADS = 8
COPY_POLL_S = 0.5


def mark_of(connection: AzureConnection, deed: Deed) -> str:
    """The blob's mark if its name is one that a request might change, for `If-Match`; "" for the others.

    Raises:
        FileNotFoundInStorageError: no blob of exactly this name is listed.
    """
    check_sendable(deed)
    if not is_doubtful(deed.blob):
        return ""
    found = blob_of_name(connection, deed, deed.blob)
    if found is None or not found.etag:
        raise FileNotFoundInStorageError(deed.sentence("there is no such file"), path=deed.path)
    return found.etag


# -- copying ---------------------------------------------------------------------------------------------------------------


def copy_blob(
    connection: AzureConnection, source: Deed, target: Deed, *, overwrite: bool, source_etag: str = ""
) -> None:
    """Copy on the server.

    Within an account the service does it at once, in one step. Where it takes its time, this waits, and if it then fails the
    unfinished target is removed: its old content is lost by then ("Copy Blob").

    Args:
        source_etag: only copy this state of the source.
    """
    check_new_name(target)
    etag = source_etag or mark_of(connection, source)
    conditions: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
    if etag:
        conditions |= {"source_etag": f'"{etag}"', "source_match_condition": MatchConditions.IfNotModified}
    client = connection.service.get_blob_client(target.container, target.blob)
    deed = replace(target, source=source)
    try:
        with connection.around(deed if overwrite else replace(deed, if_condition_fails=AlreadyExists)):
            answer = client.start_copy_from_url(
                blob_url(connection.service, source.container, source.blob), **conditions
            )
    except AlreadyExists:
        if etag and blob_of_name(connection, target, target.blob) is None:  # it was the source's condition that failed
            raise SourceChanged(source.sentence("it has changed meanwhile"), path=source.path) from None
        raise
    if answer["copy_status"] != "success":
        with connection.around(source):
            _wait_for_copy(connection, client, str(answer["copy_id"]), source)


def _wait_for_copy(connection: AzureConnection, client: BlobClient, copy_id: str, deed: Deed) -> None:
    status = "pending"
    try:
        while status == "pending":
            connection.sockets.wait(COPY_POLL_S)
            copied = client.get_blob_properties().copy
            status = str(copied.status) if copied.id == copy_id else "replaced by another copy"
    except (AzureError, StorageError, Cancelled):
        with suppress(AzureError, OSError, Cancelled):
            client.abort_copy(copy_id)
            _remove_unfinished(client, copy_id)
        raise
    if status != "success":
        with suppress(AzureError, OSError):
            _remove_unfinished(client, copy_id)
        raise ServerFault(deed.sentence(f"the service ended the copy as “{status}”"), path=deed.path)


def _remove_unfinished(client: BlobClient, copy_id: str) -> None:
    facts = client.get_blob_properties()
    if facts.copy.id == copy_id and facts.copy.status != "success":
        client.delete_blob(etag=facts.etag, match_condition=MatchConditions.IfNotModified)


def move_blob(connection: AzureConnection, source: Deed, target: Deed, *, overwrite: bool) -> None:
    """Copy, then delete what was copied; a source that changes in between stays.

    Raises:
        SourceChanged: it changed; the copy is there as well.
    """
    check_new_name(target)
    mark_of(connection, source)
    with connection.around(source):
        etag = str(connection.service.get_blob_client(source.container, source.blob).get_blob_properties().etag or "")
    copy_blob(connection, source, target, overwrite=overwrite, source_etag=etag.strip('"'))
    removing = replace(source, verb="remove the old", right="delete")
    try:
        delete_blob(connection, removing, etag.strip('"'))
    except FileNotFoundInStorageError:
        return
    except StorageError as error:
        error.hint = f"The copy “{last_name(target.blob)}” is there; delete one of the two."
        raise


# -- deleting --------------------------------------------------------------------------------------------------------------


def delete_blob(connection: AzureConnection, deed: Deed, etag: str = "") -> None:
    """Delete a blob, with its snapshots.

    Args:
        etag: only if it still has this mark.
    """
    etag = etag or mark_of(connection, deed)
    condition: dict[str, Any] = {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified} if etag else {}
    with connection.around(deed):
        connection.service.get_blob_client(deed.container, deed.blob).delete_blob(
            delete_snapshots="include", **condition
        )


class Deleter:
    """Deletes many blobs, in batches as long as the server takes them, else one by one on a few threads."""

    def __init__(self, connection: AzureConnection) -> None:
        self._connection = connection
        self._takes_batches = True

    def delete(self, deeds: Iterable[Deed | DeleteResult]) -> Iterator[DeleteResult]:
        """One result for each; those that are results already are passed on."""
        batch: list[Deed] = []
        for deed in deeds:
            if isinstance(deed, DeleteResult):
                yield deed
                continue
            if batch and (len(batch) == BATCH or batch[0].container != deed.container):
                yield from self._delete_some(batch)
                batch = []
            batch.append(deed)
        yield from self._delete_some(batch)

    def _delete_some(self, deeds: list[Deed]) -> Iterator[DeleteResult]:
        batch = [deed for deed in deeds if not is_doubtful(deed.blob)]
        if self._takes_batches and len(batch) > 1:
            try:
                is_done = self._delete_batch(batch)
            except ConnectionLost as error:
                yield from (DeleteResult(deed.path or "", error) for deed in batch)
                is_done = True
            else:
                if is_done:
                    yield from (DeleteResult(deed.path or "") for deed in batch)
            if is_done:
                deeds = [deed for deed in deeds if is_doubtful(deed.blob)]
        if len(deeds) < 2:
            yield from map(self._delete_one, deeds)
            return
        with ThreadPoolExecutor(THREADS, thread_name_prefix="azure-delete") as pool:
            yield from pool.map(self._delete_one, deeds)

    def _delete_batch(self, deeds: list[Deed]) -> bool:
        """Whether all of them are gone.

        The answers of a batch need not come in the order of the questions ("Blob Batch"), so a single one that is no success
        means to ask for each of them again.
        """
        client = self._connection.service.get_container_client(deeds[0].container)
        names = [deed.blob for deed in deeds]
        try:
            with self._connection.around(replace(deeds[0], blob="")):
                answers = list(client.delete_blobs(*names, delete_snapshots="include", raise_on_any_failure=False))
        except ConnectionLost:
            raise
        except StorageError:
            self._takes_batches = False
            return False
        return len(answers) == len(names) and all(answer.status_code in (202, 404) for answer in answers)

    def _delete_one(self, deed: Deed) -> DeleteResult:
        try:
            delete_blob(self._connection, deed)
        except FileNotFoundInStorageError:
            return DeleteResult(deed.path or "")
        except StorageError as error:
            return DeleteResult(deed.path or "", error)
        return DeleteResult(deed.path or "")
