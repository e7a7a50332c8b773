"""Multipart uploads that outlive the process: S3 keeps the parts under the upload's id until it is completed or aborted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from kegbrowser.backends.errors import (
    AlreadyExists,
    CheckFailed,
    FileNotFoundInStorageError,
    NotSupported,
    StorageError,
)
from kegbrowser.backends.proofs import Proof
from kegbrowser.backends.s3.answers import error_code
from kegbrowser.backends.s3.checksums import composite_etag, crc32_text, says_crc32, whole_crc32
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.heads import find_head
from kegbrowser.backends.s3.parts import MAX_OBJECT_BYTES, part_bytes_for
from kegbrowser.backends.s3.sending import CRC32, Target, send_part
from kegbrowser.backends.uploads import IncompleteUpload, Part, PartedUpload, UploadSpec

log = logging.getLogger(__name__)

SMALLEST_PART_BYTES = 8 * 1024 * 1024
MAX_PARALLEL = 16


class S3Upload(PartedUpload):
    """See `PartedUpload`; the token is S3's upload id.

    Args:
        kind: S3's name for how the checksum of the whole is made; "" if the server keeps none or did not say.
        held: the parts that the server has.
        checks: by what each of them was compared, as far as is known.
        is_there: the file was put together already, before its answer could be read.
    """

    def __init__(
        self,
        connection: S3Connection,
        spec: UploadSpec,
        target: Target,
        token: str,
        *,
        kind: str = "",
        held: Mapping[int, Part] | None = None,
        checks: Mapping[int, str] | None = None,
        is_there: bool = False,
    ) -> None:
        self.token = token
        self.part_bytes = part_bytes_for(spec.size_bytes, SMALLEST_PART_BYTES)
        self.parts = dict(held or {})
        self.max_parallel = MAX_PARALLEL
        self._connection = connection
        self._spec = spec
        self._target = target
        self._kind = kind
        self._lock = threading.Lock()
        self._sent = dict(self.parts)
        self._checks = dict(checks or {})
        self._may_be_there = is_there
        self._is_over = False

    def send(self, number: int, content: bytes, on_sent: Callable[[int], None]) -> Part:
        target = self._target
        with _gone(target.deed):
            sent = send_part(self._connection, target, self.token, number, content, on_sent)
        with self._lock:
            self._sent[number] = sent.part
            self._checks[number] = sent.by
        return sent.part

    def commit(self) -> Proof:
        if not self._spec.size_bytes and not self._sent:
            self.send(0, b"", lambda _count: None)
        parts = self._all_parts()
        whole = crc32_text(whole_crc32(parts)) if self._kind == "FULL_OBJECT" else ""
        try:
            if self._may_be_there and (proof := self._look(parts)) is not None:
                return self._end(proof)
            with _gone(self._target.deed):
                answer = self._target.complete(self._connection, self.token, self._listed(parts), whole)
        except (AlreadyExists, FileNotFoundInStorageError):
            # An answer that was lost on its way may have been a yes.
            proof = self._look(parts) if self._may_be_there else None
            if proof is None:
                raise
            return self._end(proof)
        except StorageError as exc:
            self._may_be_there = self._may_be_there or exc.retryable
            raise
        return self._end(self._judge(answer, parts))

    def is_done(self) -> bool:
        """Whether the file stands there already as these parts make it."""
        try:
            return self._look(self._all_parts()) is not None
        except CheckFailed:
            return False

    def discard(self) -> None:
        if not self._is_over:
            self._is_over = True
            target = self._target
            deed = Deed("remove the unfinished upload of", "write", target.bucket, target.key, target.deed.path)
            self._connection.clean_up(deed, lambda client: abort(client, target.bucket, target.key, self.token))

    def leave(self) -> None:
        self._is_over = True

    def _end(self, proof: Proof) -> Proof:
        self._is_over = True
        return proof

    def _all_parts(self) -> list[Part]:
        """The parts in order.

        Raises:
            CheckFailed: some are missing.
        """
        size, deed = self._spec.size_bytes, self._target.deed
        count = max(1, -(-size // self.part_bytes))
        with self._lock:
            parts = [self._sent[number] for number in sorted(self._sent)]
        if [part.number for part in parts] != list(range(count)) or sum(part.size for part in parts) != size:
            raise CheckFailed(deed.sentence("not all of its parts were sent"), path=deed.path)
        return parts

    def _listed(self, parts: list[Part]) -> list[dict[str, Any]]:
        """The parts as CompleteMultipartUpload names them; with checksums where the server has them as well."""
        return [
            {
                "PartNumber": part.number + 1,
                "ETag": f'"{part.tag}"',
                **({"ChecksumCRC32": crc32_text(part.crc32)} if self._checks.get(part.number) == CRC32 else {}),
            }
            for part in parts
        ]

    def _judge(self, answer: Mapping[str, Any], parts: list[Part]) -> Proof:
        """What the server's word on the whole file proves; parts were compared when they were sent."""
        deed = self._target.deed
        if (is_equal := says_crc32(answer, parts)) is not None:
            if not is_equal:
                reason = f"what {self._connection.host} put together is not what was sent"
                raise CheckFailed(deed.sentence(reason), path=deed.path)
            return Proof.verified(CRC32)
        by = {self._checks.get(part.number, "") for part in parts}
        if "" not in by:
            return Proof.verified(", ".join(sorted(by)))
        if self.parts:
            return Proof.size_only("a part of it was sent earlier, and the server keeps no checksum of the whole")
        return Proof.size_only("the server gave no checksum of what it received")

    def _look(self, parts: list[Part]) -> Proof | None:
        """The proof, if the file stands there as these parts make it."""
        head = find_head(self._connection, self._target.deed, with_checksums=True)
        if head is None or int(head.get("ContentLength", -1)) != self._spec.size_bytes:
            return None
        if (is_equal := says_crc32(head, parts)) is not None:
            return Proof.verified(CRC32) if is_equal else None
        mark = composite_etag(parts)
        return self._judge(head, parts) if mark and mark == str(head.get("ETag", "")).strip('"') else None


def begin(connection: S3Connection, spec: UploadSpec, target: Target) -> S3Upload:
    """Begin an upload.

    Raises:
        NotSupported: it is too large for S3.
    """
    if spec.size_bytes > MAX_OBJECT_BYTES:
        reason = "S3 holds no file above 5 TiB"
        raise NotSupported(target.deed.sentence(reason), path=spec.path, hint="Split the file.")
    upload_id, kind = target.begin(connection)
    return S3Upload(connection, spec, target, upload_id, kind=kind)


def resume(
    connection: S3Connection, spec: UploadSpec, target: Target, token: str, remembered: Mapping[int, Part]
) -> S3Upload:
    """Take up an upload: only those parts count that the server has exactly as they are remembered.

    Raises:
        FileNotFoundInStorageError: the server knows nothing of it, and the file was not made of these parts either.
    """
    try:
        with _gone(target.deed):
            held, kind = _held(connection, target, token)
    except FileNotFoundInStorageError:
        upload = S3Upload(connection, spec, target, token, held=remembered, is_there=True)
        if not upload.is_done():
            raise
        return upload
    kept = {number: part for number, part in remembered.items() if _is_held(part, held.get(number))}
    checks = {number: CRC32 for number in kept if held[number].get("ChecksumCRC32")}
    return S3Upload(connection, spec, target, token, kind=kind, held=kept, checks=checks)


def incomplete(connection: S3Connection, deed: Deed, parent: str) -> Iterator[IncompleteUpload]:
    """The uploads of a bucket whose keys begin as the deed's.

    Args:
        parent: what comes before a key in a path: "", or the bucket with its "/".
    """
    markers: dict[str, str] = {}
    while True:
        answer = _list_uploads(connection, deed, markers)
        decode = unquote_plus if answer.get("EncodingType") == "url" and not connection.folds_names else str
        for upload in answer.get("Uploads") or ():
            yield IncompleteUpload(f"{parent}{decode(upload['Key'])}", upload["UploadId"], upload.get("Initiated"))
        following = {"KeyMarker": answer.get("NextKeyMarker"), "UploadIdMarker": answer.get("NextUploadIdMarker")}
        following["KeyMarker"] = decode(following["KeyMarker"] or "")
        more = {name: value for name, value in following.items() if value}
        if not answer.get("IsTruncated") or not more or more == markers:
            return
        markers = more


def _list_uploads(connection: S3Connection, deed: Deed, markers: dict[str, str]) -> dict[str, Any]:
    """One answer to ListMultipartUploads. XML cannot hold all keys, so they are asked for encoded; SeaweedFS says they are, and
    does not."""
    with connection.around(deed):
        answer: dict[str, Any] = connection.client.list_multipart_uploads(
            Bucket=deed.bucket, Prefix=deed.key, EncodingType="url", **markers
        )
    return connection.expect(answer, "IsTruncated", deed)


def discard(connection: S3Connection, deed: Deed, token: str) -> None:
    """Remove an upload; one that is not there is fine."""
    with connection.around(deed):
        abort(connection.client, deed.bucket, deed.key, token)


def abort(client: Any, bucket: str, key: str, token: str) -> None:
    """AbortMultipartUpload, of which "there is none" is a success."""
    try:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=token)
    except ClientError as exc:
        if error_code(exc) != "NoSuchUpload":
            raise


def _held(connection: S3Connection, target: Target, token: str) -> tuple[dict[int, dict[str, Any]], str]:
    """What the server has of an upload, by number, and how it makes the checksum of the whole."""
    held: dict[int, dict[str, Any]] = {}
    marker, kind = 0, ""
    with connection.around(target.deed):
        while True:
            more = {"PartNumberMarker": marker} if marker else {}
            answer = connection.client.list_parts(Bucket=target.bucket, Key=target.key, UploadId=token, **more)
            connection.expect(answer, "UploadId", target.deed)
            kind = str(answer.get("ChecksumType") or kind)
            held |= {int(part["PartNumber"]) - 1: part for part in answer.get("Parts") or ()}
            following = int(answer.get("NextPartNumberMarker") or 0)
            if not answer.get("IsTruncated") or following <= marker:
                return held, kind
            marker = following


def _is_held(remembered: Part, held: Mapping[str, Any] | None) -> bool:
    if held is None or int(held.get("Size", -1)) != remembered.size:
        return False
    if not remembered.tag or str(held.get("ETag", "")).strip('"') != remembered.tag:
        return False
    return str(held.get("ChecksumCRC32") or crc32_text(remembered.crc32)) == crc32_text(remembered.crc32)


@contextmanager
def _gone(deed: Deed) -> Iterator[None]:
    """Turn "no such upload" into the error that says so."""
    try:
        yield
    except StorageError as exc:
        if isinstance(exc.__cause__, ClientError) and error_code(exc.__cause__) == "NoSuchUpload":
            reason = "the server has dropped the unfinished upload"
            raise FileNotFoundInStorageError(
                deed.sentence(reason), path=deed.path, hint="It must be uploaded from its beginning."
            ) from exc
        raise
