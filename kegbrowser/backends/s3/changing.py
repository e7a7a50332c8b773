"""Deleting in batches and copying on the server."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from kegbrowser.backends.base import DeleteResult
from kegbrowser.backends.errors import (
    AlreadyExists,
    FileNotFoundInStorageError,
    InvalidName,
    NotSupported,
    SourceChanged,
    StorageError,
)
from kegbrowser.backends.s3.answers import error_code, http_status
from kegbrowser.backends.s3.client import S3Connection, might_be_one
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head, require_head
from kegbrowser.backends.s3.parts import MAX_PARTS, MIB
from kegbrowser.backends.s3.sending import is_refused_option
from kegbrowser.backends.s3.translate import translate

log = logging.getLogger(__name__)

BATCH_KEYS = 1_000
"""Amazon S3 API reference, DeleteObjects."""
LARGEST_COPY_BYTES = 5 * 1024 * MIB
"""Amazon S3 API reference, CopyObject: what is larger is copied in parts."""
COPY_PART_BYTES = 512 * MIB
COPY_THREADS = 4

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, section 2.2: the request to delete many names the keys in XML, which cannot hold these."""
_LACKS_BATCHES = {"NotImplemented", "MethodNotAllowed", "501", "405", "MissingContentMD5", "InvalidRequest"}


def delete_keys(
    connection: S3Connection, bucket: str, paths_by_key: Iterable[tuple[str, str]]
) -> Iterator[DeleteResult]:
    """Delete (key, path) pairs of one bucket; a key that is already gone counts as deleted."""
    pairs = iter(paths_by_key)
    while batch := dict(islice(pairs, BATCH_KEYS)):
        for key in list(batch):
            try:
                connection.refuse_folded(Deed("delete", "delete", bucket, key, batch[key]))
            except InvalidName as error:
                yield DeleteResult(batch.pop(key), error)
        singly = {key: path for key, path in batch.items() if _NOT_IN_XML.search(key)}
        together = {key: path for key, path in batch.items() if key not in singly}
        if together:
            yield from _delete_together(connection, bucket, together)
        for key, path in singly.items():
            yield _delete_one(connection, bucket, key, path)


def delete_key(connection: S3Connection, deed: Deed) -> None:
    """Delete one object; nothing happens if it is gone."""
    with connection.around(deed):
        connection.client.delete_object(Bucket=deed.bucket, Key=deed.key)


def delete_unchanged(connection: S3Connection, deed: Deed, head: dict[str, Any]) -> None:
    """Delete an object unless it was written anew since `head` was told; nothing happens if it is gone.

    Where the server knows no conditional deletion ("Conditional deletes" of the user guide), it is looked at right before.

    Raises:
        SourceChanged: it was; nothing is deleted.
    """
    now = find_head(connection, deed)
    if now is None:
        return
    changed = SourceChanged(deed.sentence("it was changed meanwhile, and its new content stays"), path=deed.path)
    if now.get("ETag") != head.get("ETag"):
        raise changed
    where = {"Bucket": deed.bucket, "Key": deed.key}
    with connection.around(deed):
        try:
            connection.client.delete_object(**where, **({"IfMatch": head["ETag"]} if head.get("ETag") else {}))
        except ClientError as exc:
            if http_status(exc) == 412:
                raise changed from exc
            if not is_refused_option(exc):
                raise
            connection.client.delete_object(**where)


def _delete_one(connection: S3Connection, bucket: str, key: str, path: str) -> DeleteResult:
    try:
        delete_key(connection, Deed("delete", "delete", bucket, key, path))
    except FileNotFoundInStorageError:
        return DeleteResult(path)
    except StorageError as error:
        return DeleteResult(path, error)
    return DeleteResult(path)


def _delete_together(connection: S3Connection, bucket: str, batch: dict[str, str]) -> Iterator[DeleteResult]:
    answer: dict[str, Any] | None = None
    try:
        if connection.deletes_batches and len(batch) > 1:
            answer = _request_deletion(connection, bucket, list(batch))
    except StorageError as error:
        for path in batch.values():
            yield DeleteResult(path, error)
        return
    if answer is None:
        for key, path in batch.items():
            yield _delete_one(connection, bucket, key, path)
        return
    failed = {failure.get("Key", ""): failure for failure in answer.get("Errors") or ()}
    for key, path in batch.items():
        failure = failed.get(key)
        yield DeleteResult(path, _failure(connection, bucket, key, path, failure) if failure else None)


def _request_deletion(connection: S3Connection, bucket: str, keys: list[str]) -> dict[str, Any] | None:
    """Send one DeleteObjects; None if the server does not take this one, so that they must be deleted one by one."""
    with connection.around(Deed("delete from", "delete", bucket)):
        try:
            wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            answer: dict[str, Any] = connection.client.delete_objects(Bucket=bucket, Delete=wanted)
        except ClientError as exc:
            code = error_code(exc)
            if code in _LACKS_BATCHES or http_status(exc) in (405, 501):
                log.info("the server does not delete in batches (%s): files are deleted one by one", code)
                connection.deletes_batches = False
                return None
            if code in ("MalformedXML", "MalformedPOSTRequest"):
                return None
            raise
    return answer


def _failure(
    connection: S3Connection, bucket: str, key: str, path: str, failure: dict[str, Any]
) -> StorageError | None:
    code = str(failure.get("Code", ""))
    if code == "NoSuchKey":
        return None
    # In the form of an answer of its own, so that the one table of codes serves.
    status = 403 if code == "AccessDenied" else 400
    response: Any = {"Error": failure, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = translate(
        ClientError(response, "DeleteObjects"), Deed("delete", "delete", bucket, key, path), connection.host
    )
    assert isinstance(error, StorageError)
    return error


def copy_key(
    connection: S3Connection,
    source: Deed,
    target: Deed,
    *,
    overwrite: bool,
    in_parts_above: int = LARGEST_COPY_BYTES,
    part_bytes: int = COPY_PART_BYTES,
) -> dict[str, Any]:
    """Copy an object on the server, with its metadata; returns the head of what was copied.

    Raises:
        FileNotFoundInStorageError: the source.
        AlreadyExists: the target, and not `overwrite`.
        SourceChanged: the source, between the look at it and the copy.
    """
    head = require_head(connection, source)
    if not overwrite and not connection.conditional_writes and find_head(connection, target) is not None:
        raise AlreadyExists(target.sentence("the name is taken"), path=target.path)
    if int(head["ContentLength"]) > in_parts_above:
        _copy_in_parts(connection, source, target, head, part_bytes, overwrite=overwrite)
    else:
        _copy_at_once(connection, source, target, head, overwrite=overwrite)
    return head


def refuse_same_object(connection: S3Connection, source: Deed, target: Deed) -> None:
    """Servers on a file system may take `a//b` for `a/b`: a copy would be the file itself, and moving would delete it.

    Raises:
        NotSupported: both names are of one object.
    """
    if source.bucket != target.bucket or not might_be_one(source.key, target.key):
        return
    one, other = find_head(connection, source), find_head(connection, target)
    if one and other and all(one.get(fact) == other.get(fact) for fact in ("ETag", "LastModified")):
        raise NotSupported(source.sentence("the server does not tell the two names apart"), path=source.path)


def _copy_at_once(
    connection: S3Connection, source: Deed, target: Deed, head: dict[str, Any], *, overwrite: bool
) -> None:
    fixed = {"Bucket": target.bucket, "Key": target.key, **_from(source, head)}
    conditional = not overwrite and connection.conditional_writes is not False
    with connection.around(target):
        try:
            answer = connection.client.copy_object(**fixed, **({"IfNoneMatch": "*"} if conditional else {}))
            connection.expect(answer, "CopyObjectResult", target)
        except ClientError as exc:
            if http_status(exc) == 412:
                raise _which_condition(connection, source, target, head, overwrite=overwrite) from exc
            if not conditional or connection.conditional_writes or not is_refused_option(exc):
                raise
            connection.client.copy_object(**fixed)
            connection.conditional_writes = False


def _copy_in_parts(
    connection: S3Connection, source: Deed, target: Deed, head: dict[str, Any], part_bytes: int, *, overwrite: bool
) -> None:
    size = int(head["ContentLength"])
    part_bytes = max(part_bytes, -(-size // MAX_PARTS))
    names = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl", "Metadata")
    kept = {name: head[name] for name in (*names, "StorageClass") if head.get(name)}
    fixed = {"Bucket": target.bucket, "Key": target.key}
    with connection.around(target):
        begun = connection.expect(connection.client.create_multipart_upload(**fixed, **kept), "UploadId", target)
    upload = {**fixed, "UploadId": begun["UploadId"]}

    def copy_part(number: int) -> dict[str, Any]:
        start = (number - 1) * part_bytes
        part_range = f"bytes={start}-{min(start + part_bytes, size) - 1}"
        with connection.around(target):
            answer = connection.client.upload_part_copy(
                PartNumber=number, CopySourceRange=part_range, **upload, **_from(source, head)
            )
            connection.expect(answer, "CopyPartResult", target)
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        with ThreadPoolExecutor(COPY_THREADS, thread_name_prefix="s3-copy") as threads:
            parts = list(threads.map(copy_part, range(1, -(-size // part_bytes) + 1)))
        condition = {"IfNoneMatch": "*"} if not overwrite and connection.conditional_writes else {}
        with connection.around(target):
            made = connection.client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload, **condition)
            connection.expect(made, "ETag", target)
    except BaseException:
        deed = Deed("remove the unfinished copy of", "write", target.bucket, target.key, target.path)
        connection.clean_up(deed, lambda client: client.abort_multipart_upload(**upload))
        raise


def _from(source: Deed, head: dict[str, Any]) -> dict[str, Any]:
    """Which object to copy, and on what condition."""
    where: dict[str, Any] = {"CopySource": {"Bucket": source.bucket, "Key": source.key}}
    if head.get("ETag"):
        where["CopySourceIfMatch"] = head["ETag"]
    return where


def _which_condition(
    connection: S3Connection, source: Deed, target: Deed, head: dict[str, Any], *, overwrite: bool
) -> StorageError:
    """A copy has two conditions, and its refusal does not say which has failed."""
    now = find_head(connection, source)
    if overwrite or now is None or now.get("ETag") != head.get("ETag"):
        return SourceChanged(source.sentence("it was changed meanwhile"), path=source.path)
    connection.conditional_writes = True
    return AlreadyExists(target.sentence("the name is taken"), path=target.path)
