"""The requests that move content, without the SDK: one object or part, over kept connections, blocking.

The answers have the SDK's form, and errors are its `ClientError`, so that the same tables translate both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import unescape

from botocore.exceptions import ClientError, ConnectionClosedError, FlexibleChecksumError

from kegbrowser.backends.s3.checksums import Comparison
from kegbrowser.backends.s3.pages import ObjectPage, page_query, parse_page
from kegbrowser.backends.s3.routes import Route
from kegbrowser.backends.s3.signing import EMPTY_SHA256, UNSIGNED
from kegbrowser.backends.s3.wire import Head, Stale, Unclear, Unusual, Wire

if TYPE_CHECKING:
    from kegbrowser.backends.s3.client import S3Connection

ERROR_BYTES = 256 * 1024
PAGE_BYTES = 64 * 1024 * 1024
"""No error, and no page of a listing, is longer."""

_FACTS = {
    "ETag": "etag",
    "ContentRange": "content-range",
    "ContentType": "content-type",
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "ChecksumCRC32C": "x-amz-checksum-crc32c",
    "ChecksumCRC64NVME": "x-amz-checksum-crc64nvme",
    "ChecksumSHA1": "x-amz-checksum-sha1",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ChecksumType": "x-amz-checksum-type",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
    "ContentMD5": "content-md5",
}
_OPTIONS = {
    "Range": "range",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "ChecksumMode": "x-amz-checksum-mode",
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "ContentMD5": "content-md5",
    "ContentType": "content-type",
}
_MISPLACED = frozenset(
    ("AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IncorrectEndpoint", "IllegalLocation")
)
_ELEMENT = re.compile(r"<(Code|Message|Region)>([^<]*)</")


def target_of(route: Route, key: str) -> str:
    """The encoded path of an object: each byte but letters, digits and `-._~/` (SDK and signature want it so)."""
    return route.prefix + quote(key, safe="/~")


def request_head(
    connection: S3Connection, route: Route, method: str, key: str, query: str, headers: dict[str, str], payload: str
) -> bytes:
    """The head of a request about an object, signed; arguments as of `Signer.head`."""
    return _request_head(connection, route, method, target_of(route, key), query, headers, payload)


def _request_head(
    connection: S3Connection, route: Route, method: str, target: str, query: str, headers: dict[str, str], payload: str
) -> bytes:
    everything = {
        "host": route.host,
        **headers,
        "user-agent": connection.user_agent,
        "accept-encoding": "identity",
        **route.proxy_headers,
    }
    return route.signer.head(method, target, query, everything, payload, route.absolute)


def headers_of(options: dict[str, Any]) -> dict[str, str]:
    """The headers for the SDK's options."""
    return {header: str(options[name]) for name, header in _OPTIONS.items() if name in options}


def query_of(options: dict[str, Any]) -> str:
    """The query for the SDK's options, encoded and sorted."""
    if "UploadId" not in options:
        return ""
    return f"partNumber={options['PartNumber']}&uploadId={quote(options['UploadId'], safe='~')}"


def facts_of(head: Head) -> dict[str, Any]:
    """An answer's headers by the SDK's names."""
    headers = head.headers
    answer: dict[str, Any] = {name: headers[header] for name, header in _FACTS.items() if header in headers}
    if head.length is not None:
        answer["ContentLength"] = head.length
    answer["ResponseMetadata"] = {"HTTPStatusCode": head.status, "HTTPHeaders": headers}
    return answer


def refusal(connection: S3Connection, head: Head, body: bytes, operation: str) -> ClientError:
    """The SDK's exception for an answer that is an error.

    Raises:
        Unusual: the request belongs elsewhere (another region or address).
        Unclear: it was refused for its date, which is right from now on.
    """
    connection.look_at_server(head.headers.get("server", ""))
    found = {name: unescape(text) for name, text in _ELEMENT.findall(body.decode("utf-8", "replace"))}
    code = found.get("Code", "")
    if code in _MISPLACED or (300 <= head.status < 400 and head.status != 304):
        raise Unusual(f"answered {head.status} {code}".rstrip())
    if connection.routes.dating.learn(head.status, code, head.headers.get("date", "")):
        raise Unclear("refused for its date")
    error = {**found, "Code": code or str(head.status), "Message": found.get("Message", "")}
    response: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": head.status, "HTTPHeaders": head.headers}}
    return ClientError(response, operation)


class Lean:
    """Sends and fetches objects. Any thread; call it inside `around`."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection

    def get_object(self, options: dict[str, Any]) -> dict[str, Any] | None:
        """GetObject, with options and answer as the SDK has them; the body streams.

        None: it must be asked for by way of the SDK.
        """
        bucket, routes = options["Bucket"], self._connection.routes
        route = routes.of(bucket)
        if route is None:
            return None
        try:
            head_bytes = self._head(route, "GET", options["Key"], "", headers_of(options), EMPTY_SHA256)
            wire, head = self._exchange(route, "GET", head_bytes, b"", None)
            if head.status in (200, 206):
                if head.length is None:
                    wire.close()
                    raise Unusual("a body without a length")
                answer = facts_of(head)
                answer["Body"] = Body(self._connection, route, wire, head)
                return answer
            raise self._refusal(route, wire, head, "GetObject")
        except Unclear:
            return None
        except Unusual as exc:
            routes.miss(bucket, route, str(exc))
            return None

    def put(
        self,
        operation: str,
        options: dict[str, Any],
        content: bytes | bytearray | memoryview,
        on_sent: Callable[[int], None] | None = None,
    ) -> dict[str, Any] | None:
        """PutObject or UploadPart, as `get_object`."""
        bucket, routes = options["Bucket"], self._connection.routes
        route = routes.of(bucket)
        if route is None:
            return None
        try:
            payload = UNSIGNED if route.is_secure or not route.signer.signs else hashlib.sha256(content).hexdigest()
            headers = headers_of(options) | {"content-length": str(len(content))}
            head_bytes = self._head(route, "PUT", options["Key"], query_of(options), headers, payload)
            may_resend = "IfNoneMatch" not in options  # its first sending may have been carried out
            wire, head = self._exchange(route, "PUT", head_bytes, memoryview(content), on_sent, may_resend=may_resend)
            if head.status == 200:
                wire.read_all(head, ERROR_BYTES)
                self._release(route, wire, head)
                return facts_of(head)
            raise self._refusal(route, wire, head, operation)
        except Unclear:
            return None
        except Unusual as exc:
            routes.miss(bucket, route, str(exc))
            return None

    def list_objects(self, options: dict[str, Any]) -> ObjectPage | None:
        """ListObjectsV2, with options as the SDK has them. None as of `get_object`."""
        bucket, routes = options["Bucket"], self._connection.routes
        route = routes.of(bucket)
        if route is None:
            return None
        try:
            target = route.prefix.removesuffix("/") or "/"
            head_bytes = _request_head(self._connection, route, "GET", target, page_query(options), {}, EMPTY_SHA256)
            wire, head = self._exchange(route, "GET", head_bytes, b"", None)
            if head.status != 200:
                raise self._refusal(route, wire, head, "ListObjectsV2")
            body = wire.read_all(head, PAGE_BYTES)
            self._release(route, wire, head)
            self._connection.look_at_server(head.headers.get("server", ""))
            return parse_page(body)
        except Unclear:
            return None
        except Unusual as exc:
            routes.miss(bucket, route, str(exc))
            return None

    # -- private ---------------------------------------------------------------------------------------------------------

    def _head(self, route: Route, method: str, key: str, query: str, headers: dict[str, str], payload: str) -> bytes:
        return request_head(self._connection, route, method, key, query, headers, payload)

    def _exchange(
        self,
        route: Route,
        method: str,
        head: bytes,
        body: memoryview | bytes,
        on_sent: Callable[[int], None] | None,
        *,
        may_resend: bool = True,
    ) -> tuple[Wire, Head]:
        """Send, and wait for the head of the answer; once more if a kept wire turns out to be closed."""
        routes = self._connection.routes
        wire = routes.take(route) or routes.connect(route)
        while True:
            try:
                return wire, _ask(wire, method, head, body, on_sent)
            except Stale as exc:
                wire.close()
                self._connection.sockets.check()
                if not may_resend:
                    raise ConnectionClosedError(endpoint_url=route.url, error=exc) from exc
                wire = routes.connect(route)
            except BaseException:
                wire.close()
                raise

    def _refusal(self, route: Route, wire: Wire, head: Head, operation: str) -> ClientError:
        try:
            body = wire.read_all(head, ERROR_BYTES)
        except BaseException:
            wire.close()
            raise
        self._release(route, wire, head)
        return refusal(self._connection, head, body, operation)

    def _release(self, route: Route, wire: Wire, head: Head) -> None:
        if head.keeps:
            self._connection.routes.give_back(route, wire)
        else:
            wire.close()


def _ask(wire: Wire, method: str, head: bytes, body: memoryview | bytes, on_sent: Callable[[int], None] | None) -> Head:
    wire.block()
    try:
        wire.send(head, body, on_sent)
    except (ConnectionError, TimeoutError) as exc:
        # A server that refuses does not take the rest: its answer may be there.
        if isinstance(exc, TimeoutError):
            raise
        answer = wire.receive_head(method)
        if answer.status < 300:
            raise
        return Head(answer.status, answer.headers, answer.length, answer.is_chunked, keeps=False)
    return wire.receive_head(method)


class Body:
    """The content of an answer, as it streams; compared with the answer's checksum at its end if it is of the whole.

    One thread at a time.
    """

    def __init__(self, connection: S3Connection, route: Route, wire: Wire, head: Head) -> None:
        self._connection = connection
        self._route = route
        self._wire: Wire | None = wire
        self._head = head
        self._left = head.length or 0
        self._comparison = Comparison.of(facts_of(head)) if head.status == 200 else None

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end, or where the connection was cut.

        Raises:
            FlexibleChecksumError: what came is not what the server's checksum is of.
        """
        wire = self._wire
        if wire is None or not self._left or not size:
            self._finish()
            return b""
        try:
            piece = wire.read(self._left if size < 0 else min(size, self._left))
        except BaseException:
            self.close()
            raise
        if self._comparison is not None:
            self._comparison.update(piece)
        self._left -= len(piece)
        if not self._left:
            self._finish()
        return piece

    def close(self) -> None:
        """Give the connection back if all was read, else close it."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if self._left or not self._head.keeps:
            wire.close()
        else:
            self._connection.routes.give_back(self._route, wire)

    def _finish(self) -> None:
        if self._left:
            return
        self.close()
        comparison, self._comparison = self._comparison, None
        if comparison is not None and not comparison.is_equal:
            raise FlexibleChecksumError(error_msg="the content and its checksum differ")
