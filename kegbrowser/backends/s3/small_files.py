"""Reading and writing many small files at once: what each asks for, and what its answers prove."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kegbrowser.backends.base import ListEntry, split_path
from kegbrowser.backends.batches import FileResult, ReadRequest, WriteRequest
from kegbrowser.backends.errors import AlreadyExists, Cancelled, CheckFailed, SourceChanged, StorageError
from kegbrowser.backends.proofs import ALGORITHMS, Proof
from kegbrowser.backends.s3.checksums import Comparison, crc32_text, is_md5, md5_text
from kegbrowser.backends.s3.client import S3Connection
from kegbrowser.backends.s3.deeds import Deed
from kegbrowser.backends.s3.errands import Errand
from kegbrowser.backends.s3.lean import facts_of, headers_of, refusal, request_head
from kegbrowser.backends.s3.loop import Loop
from kegbrowser.backends.s3.reader import S3Reader
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.sdk import parse_time
from kegbrowser.backends.s3.sending import MD5, Target, compared_by, is_refused_option
from kegbrowser.backends.s3.signing import EMPTY_SHA256, UNSIGNED
from kegbrowser.backends.s3.translate import translate
from kegbrowser.backends.s3.wire import Head, Unclear, Unusual

if TYPE_CHECKING:
    from kegbrowser.backends.s3.storage import Place

GROWTH_BYTES = 8 * 1024 * 1024
"""See `ReadRequest.size`."""
_ERROR_BYTES = 256 * 1024
_MONTHS = dict(zip(("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split(), range(1, 13), strict=True))  # noqa: SIM905
NO_CHECKSUM = "the server keeps no checksum of it"
NOT_SAID = "the server gave no checksum of what it received"


class _Course(Errand):
    """What reading and writing have in common."""

    def __init__(self, connection: S3Connection, key: int, deed: Deed, route: Route | None) -> None:
        self.bucket = deed.bucket
        self.route = route
        self._connection = connection
        self._key = key
        self._deed = deed

    def check_head(self, head: Head) -> FileResult | None:
        if head.length is not None and head.length > _ERROR_BYTES:
            raise Unusual("a long answer")
        return None

    def fail(self, exc: Exception) -> FileResult:
        connection = self._connection
        if isinstance(exc, StorageError):
            return FileResult(self._key, exc)
        error = translate(exc, self._deed, connection.host, is_interrupted=connection.sockets.is_interrupted)
        if isinstance(error, Cancelled):
            raise error
        error.__cause__ = exc
        return FileResult(self._key, error)

    def slowly(self) -> FileResult:
        try:
            return self._slowly()
        except StorageError as error:
            return FileResult(self._key, error)

    def _slowly(self) -> FileResult:
        raise NotImplementedError

    def _request(self, headers: dict[str, str], payload: str) -> bytes:
        route = self.route
        assert route is not None
        return request_head(self._connection, route, self.method, self._deed.key, "", headers, payload)


class Reading(_Course):
    """Reads one file."""

    method = "GET"

    def __init__(self, connection: S3Connection, request: ReadRequest, place: Place, route: Route | None) -> None:
        super().__init__(connection, request.key, place.deed("read", "read"), route)
        self._file = request
        self._first_crc32: int | None = None  # of an answer that did not fit its mark

    def request(self) -> bytes:
        options = {"ChecksumMode": "ENABLED"}
        if self._file.etag:
            options["IfMatch"] = f'"{self._file.etag}"'
        return self._request(headers_of(options), EMPTY_SHA256)

    def check_head(self, head: Head) -> FileResult | None:
        if head.status != 200:
            return super().check_head(head)
        etag = head.headers.get("etag", "").strip('"')
        if head.length is not None and head.length > self._file.size + GROWTH_BYTES:
            return self.fail(self._changed("it grew while it was read"))
        if self._file.etag and etag and etag != self._file.etag:
            return self.fail(self._changed("it was changed meanwhile"))
        return None

    def answer(self, head: Head, body: bytes) -> FileResult | None:
        if head.status != 200:
            if head.status < 300:
                raise Unusual(f"answered {head.status}")
            raise refusal(self._connection, head, body, "GetObject")
        facts = facts_of(head)
        proof = self._prove(facts, body)
        if proof is None:
            return None
        etag = str(facts.get("ETag", "")).strip('"')
        said = head.headers.get("last-modified")
        entry = ListEntry(
            split_path(self._file.path)[1],
            _time_of(said) if said else None,
            len(body),
            etag=etag,
            content_type=head.headers.get("content-type", ""),
        )
        return FileResult(self._key, None, body, proof, entry)

    def _prove(self, facts: dict[str, Any], body: bytes) -> Proof | None:
        """How the content was compared; None if it must be read once more to know.

        Raises:
            CheckFailed: it is not what the server holds.
        """
        self._connection.expect(facts, "ETag", self._deed)
        comparison = Comparison.of(facts)
        if comparison is not None:
            comparison.update(body)
            if not comparison.is_equal:
                raise self._damaged()
            return Proof.verified(ALGORITHMS[comparison.algorithm])
        if not self._connection.marks_are_md5 or not is_md5(facts, self.bucket):
            return Proof.size_only(NO_CHECKSUM)
        if hashlib.md5(body, usedforsecurity=False).hexdigest() == str(facts["ETag"]).strip('"'):
            return Proof.verified(MD5)
        # Damaged on its way, or a server whose marks only look like MD5s: the same again means the latter.
        crc32, first = zlib.crc32(body), self._first_crc32
        if first is None:
            self._first_crc32 = crc32
            return None
        if first != crc32:
            raise self._damaged()
        self._connection.marks_are_md5 = False
        return Proof.size_only(NO_CHECKSUM)

    def _damaged(self) -> CheckFailed:
        reason = "what arrived is not what the server holds"
        return CheckFailed(self._deed.sentence(reason), path=self._deed.path, hint="Try again.")

    def _changed(self, reason: str) -> SourceChanged:
        return SourceChanged(self._deed.sentence(reason), path=self._deed.path)

    def _slowly(self) -> FileResult:
        deed, file = self._deed, self._file
        pieces: list[bytes] = []
        room = file.size + GROWTH_BYTES
        with S3Reader(
            deed.bucket, deed.key, None, connection=self._connection, path=file.path, etag=file.etag
        ) as reader:
            while piece := reader.read(GROWTH_BYTES):
                pieces.append(piece)
                room -= len(piece)
                if room < 0:
                    raise self._changed("it grew while it was read")
            compared_by = reader.compared_by
        proof = Proof.verified(compared_by) if compared_by else Proof.size_only(NO_CHECKSUM)
        return FileResult(self._key, None, b"".join(pieces), proof)


class Writing(_Course):
    """Writes one file: by a PUT, after a HEAD where the server may not know the condition."""

    def __init__(self, connection: S3Connection, request: WriteRequest, target: Target, route: Route | None) -> None:
        super().__init__(connection, request.key, target.deed, route)
        self._file = request
        self._target = target
        self._crc32 = zlib.crc32(request.content)
        self._has_looked = request.overwrite
        self._ways: list[_Way] = []
        self._result: FileResult | None = None  # while the server's knowledge of conditions is found out

    def request(self) -> bytes:
        connection = self._connection
        self.may_resend = True
        if self._result is not None:
            self.method = "PUT"
            # A checksum that is wrong, so that nothing is written even by a server that ignores the condition.
            other = md5_text(b"other than " + self._file.content)
            return self._put({"ContentMD5": other, "IfNoneMatch": "*"})
        if not self._has_looked and not connection.conditional_writes:
            self.method = "HEAD"
            return self._request({}, EMPTY_SHA256)
        self.method = "PUT"
        if not self._ways:
            self._ways = _ways(connection, is_conditional=not self._file.overwrite)
        way = self._ways[0]
        self.may_resend = not way.has_condition
        condition = {"IfNoneMatch": "*"} if way.has_condition else {}
        if way.has_checksum:
            return self._put({"ChecksumCRC32": crc32_text(self._crc32), **condition})
        return self._put({"ContentMD5": md5_text(self._file.content), **condition})

    def answer(self, head: Head, body: bytes) -> FileResult | None:
        if self._result is not None:
            if head.status == 412:
                self._connection.conditional_writes = True
            return self._result
        if self.method == "HEAD":
            return self._look(head)
        way = self._ways[0]
        if head.status != 200:
            exc = refusal(self._connection, head, body, "PutObject")
            if way.has_condition and head.status == 412:
                self._connection.conditional_writes = True
            if len(self._ways) > 1 and is_refused_option(exc):
                del self._ways[0]
                return None
            raise exc
        return self._written(way, head)

    def _put(self, options: dict[str, str]) -> bytes:
        route, content = self.route, self._file.content
        assert route is not None
        headers = headers_of(options | {"ContentType": self._target.content_type})
        headers["content-length"] = str(len(content))
        is_covered = route.is_secure or not route.signer.signs
        payload = UNSIGNED if is_covered else hashlib.sha256(content).hexdigest()
        return self._request(headers, payload) + content

    def _look(self, head: Head) -> FileResult | None:
        deed = self._deed
        if head.status == 200:
            return FileResult(self._key, AlreadyExists(deed.sentence("the name is taken"), path=deed.path))
        if head.status != 404:
            raise Unclear(f"answered {head.status}")  # without a body: what is wrong must be asked in another way
        self._has_looked = True
        return None

    def _written(self, way: _Way, head: Head) -> FileResult | None:
        connection, facts = self._connection, facts_of(head)
        connection.expect(facts, "ETag", self._deed)
        connection.sends_checksums = way.has_checksum
        by = compared_by(connection, self._target, facts, self._file.content, self._crc32)
        result = FileResult(self._key, proof=Proof.verified(by) if by else Proof.size_only(NOT_SAID))
        if not self._file.overwrite and not way.has_condition:
            connection.conditional_writes = False
        if way.has_condition and connection.conditional_writes is None and not connection.has_tried_conditions:
            connection.has_tried_conditions = True
            self._result = result
            return None
        return result

    def _slowly(self) -> FileResult:
        by = self._target.put(self._connection, self._file.content)
        return FileResult(self._key, proof=Proof.verified(by) if by else Proof.size_only(NOT_SAID))


@dataclass(frozen=True, slots=True)
class _Way:
    """How a file is sent: with a CRC-32 or else an MD5, and with the condition or without."""

    has_checksum: bool
    has_condition: bool


def _ways(connection: S3Connection, *, is_conditional: bool) -> list[_Way]:
    """The ways that a server may know, best first; what it is known to refuse, and what it is known to take, is settled."""
    checksums = (True, False) if connection.sends_checksums is None else (connection.sends_checksums,)
    conditions: tuple[bool, ...] = (False,)
    if is_conditional:
        known = connection.conditional_writes
        conditions = (True, False) if known is None else (known,)
    return [_Way(checksum, condition) for condition in conditions for checksum in checksums]


def read_files(
    connection: S3Connection,
    requests: Iterator[ReadRequest | None],
    in_flight: Callable[[], int],
    find: Callable[[str], Place],
) -> Iterator[FileResult]:
    """See `StorageBackend.read_files`. `find` takes a path apart."""

    def course(request: ReadRequest) -> Errand | FileResult:
        try:
            place = find(request.path)
            return Reading(connection, request, place, _route(connection, place.deed("read", "read")))
        except StorageError as error:
            return FileResult(request.key, error)

    return Loop(connection, in_flight).run(None if one is None else course(one) for one in requests)


def write_files(
    connection: S3Connection,
    requests: Iterator[WriteRequest | None],
    in_flight: Callable[[], int],
    aim: Callable[[WriteRequest], Target],
) -> Iterator[FileResult]:
    """See `StorageBackend.write_files`. `aim` makes the target and sees that it can be written to."""

    def course(request: WriteRequest) -> Errand | FileResult:
        try:
            target = aim(request)
            return Writing(connection, request, target, _route(connection, target.deed))
        except StorageError as error:
            return FileResult(request.key, error)

    return Loop(connection, in_flight).run(None if one is None else course(one) for one in requests)


def _route(connection: S3Connection, deed: Deed) -> Route | None:
    known = connection.routes.known
    if deed.bucket in known:
        return known[deed.bucket]
    with connection.around(deed):
        return connection.routes.of(deed.bucket)


def _time_of(said: str) -> datetime | None:
    """A Last-Modified; None if it is no time."""
    try:
        month = _MONTHS[said[8:11]]
        return datetime(
            int(said[12:16]), month, int(said[5:7]), int(said[17:19]), int(said[20:22]), int(said[23:25]), tzinfo=UTC
        )
    except (KeyError, ValueError):
        try:
            return parse_time(said)
        except (ValueError, OverflowError):
            return None
