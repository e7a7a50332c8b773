"""An S3 server in memory whose keys are exact, as Amazon's are, and which fails on order.

The real servers that can be had here keep keys as files and fold some of them; and none of them expires a token or is busy when
a test wants it. Signatures are not checked: that is for the real ones.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

HEADER = '<?xml version="1.0" encoding="UTF-8"?>'
TIME = "2026-01-02T03:04:05.000Z"


@dataclass(slots=True)
class Stored:
    """An object, or a part of an upload."""

    content: bytes
    content_type: str = "binary/octet-stream"
    mark: str = ""

    @property
    def etag(self) -> str:
        return self.mark or hashlib.md5(self.content).hexdigest()


@dataclass(slots=True)
class Fault:
    """An answer in place of the real one.

    Attributes:
        matches: whether a request (method, path with query) is meant.
        times: how many more requests get it.
    """

    matches: Callable[[str, str], bool]
    status: int
    code: str
    headers: dict[str, str] = field(default_factory=dict)
    extra: str = ""
    times: int = 1


@dataclass(slots=True)
class Quirks:
    """What servers do not know or do wrong.

    Attributes:
        refuses_checksums, refuses_conditions: 501 for a request with such a header.
        ignores_conditions: If-None-Match has no effect.
        lacks_batches: 501 for DeleteObjects.
        ignores_ranges: answers with the whole object.
        cuts_bodies_at: sends no more of an object than this, then closes.
        wrong_crc: says a checksum that is not the content's.
        loops: each page's token leads to the same page.
        forgets_copies: says that a copy is made, and makes none.
        smallest_part: bytes of a part but the last.
        tells_no_checksums: gives none in its answers.
        closes_silently_after: so many answers come over a connection, then it is closed without a word.
    """

    refuses_checksums: bool = False
    refuses_conditions: bool = False
    ignores_conditions: bool = False
    lacks_batches: bool = False
    ignores_ranges: bool = False
    cuts_bodies_at: int | None = None
    wrong_crc: bool = False
    loops: bool = False
    forgets_copies: bool = False
    smallest_part: int = 5 * 1024 * 1024
    tells_no_checksums: bool = False
    closes_silently_after: int | None = None


class ExactS3:
    """A context manager; `endpoint` is its URL. State is open to the tests: `buckets[name][key]`, `uploads`, `requests`."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.uploads: dict[str, tuple[str, str, dict[int, Stored]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.seen_headers: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.lost: list[Fault] = []
        self.quirks = Quirks()
        self.lock = threading.RLock()
        self._scheme = "http"
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="exact-s3", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._scheme = "https"
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def fail(
        self, method: str, status: int, code: str, *, path: str = "", times: int = 1, extra: str = "", **headers: str
    ) -> None:
        """Answer the next requests of a method, whose target holds `path`, with an error."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(
            Fault(lambda verb, target: verb == method and path in target, status, code, named, extra, times)
        )

    def lose_answers(self, method: str, path: str, *, times: int = 1) -> None:
        """Carry out the next such requests, but cut the connection instead of answering."""
        self.lost.append(Fault(lambda verb, target: verb == method and path in target, 0, "", times=times))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: ExactS3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are what the tests are about."""


class _Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 256 * 1024  # headers and body in one packet: else each answer waits 40 ms for an acknowledgement
    server: _Server
    answers = 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _serve(self) -> None:
        self.store = self.server.store
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        self.path = re.sub("^http://[^/]+", "", self.path)  # a proxy is asked for whole URLs
        path, _mark, query = self.path.partition("?")
        bucket, _slash, key = path.removeprefix("/").partition("/")
        self.bucket, self.key = unquote(bucket), unquote(key)
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        with self.store.lock:
            self.store.requests.append((self.command, self.path))
            self.store.seen_headers.append({name.lower(): value for name, value in self.headers.items()})
            fault = self._next(self.store.faults)
        if fault is not None:
            self._error(fault.status, fault.code, fault.headers, fault.extra)
            return
        try:
            with self.store.lock:
                self._check_headers()
                if not self.bucket:
                    self._list_buckets()
                elif not self.key:
                    self._bucket_request()
                else:
                    self._object_request()
        except _Refused as refusal:
            self._error(refusal.status, refusal.code, {})

    def _next(self, faults: list[Fault]) -> Fault | None:
        for fault in faults:
            if fault.times > 0 and fault.matches(self.command, self.path):
                fault.times -= 1
                return fault
        return None

    def _check_headers(self) -> None:
        quirks = self.store.quirks
        if quirks.refuses_checksums and any(
            "checksum-" in name.lower() for name in self.headers if "mode" not in name.lower()
        ):
            raise _Refused(501, "NotImplemented")
        if quirks.refuses_conditions and "If-None-Match" in self.headers:
            raise _Refused(501, "NotImplemented")
        said = self.headers.get("x-amz-checksum-crc32")
        if said and said != _crc(self.body):
            raise _Refused(400, "BadDigest")

    # -- buckets -----------------------------------------------------------------------------------------------------

    def _list_buckets(self) -> None:
        each = "".join(
            f"<Bucket><Name>{escape(name)}</Name><CreationDate>{TIME}</CreationDate></Bucket>"
            for name in sorted(self.store.buckets)
        )
        self._xml(f"<ListAllMyBucketsResult><Buckets>{each}</Buckets></ListAllMyBucketsResult>")

    def _bucket_request(self) -> None:
        if self.command == "PUT":
            if self.bucket in self.store.buckets:
                raise _Refused(409, "BucketAlreadyOwnedByYou")
            self.store.buckets[self.bucket] = {}
            self._answer(200)
            return
        objects = self._objects()
        if self.command == "HEAD":
            self._answer(200)
        elif self.command == "DELETE":
            if objects:
                raise _Refused(409, "BucketNotEmpty")
            del self.store.buckets[self.bucket]
            self._answer(204)
        elif self.command == "POST":
            self._delete_many(objects)
        elif "uploads" in self.query:
            self._list_uploads()
        else:
            self._list(objects)

    def _objects(self) -> dict[str, Stored]:
        try:
            return self.store.buckets[self.bucket]
        except KeyError:
            raise _Refused(404, "NoSuchBucket") from None

    def _list(self, objects: dict[str, Stored]) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        after = unquote_plus(self.query.get("continuation-token", ""))
        limit = int(self.query.get("max-keys", "1000"))
        names: dict[str, bool] = {}  # whether it is a common prefix
        for key in sorted(objects, key=lambda name: name.encode()):
            if key.startswith(prefix):
                head, found, _rest = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
                names[prefix + head + found if found else key] = bool(found)
        left = (
            [name for name in names if name.encode() > after.encode()] if not self.store.quirks.loops else list(names)
        )
        shown, is_truncated = left[:limit], len(left) > limit
        parts = [f"<Name>{self.bucket}</Name><EncodingType>url</EncodingType><KeyCount>{len(shown)}</KeyCount>"]
        parts.append(f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>")
        if is_truncated:
            parts.append(f"<NextContinuationToken>{quote_plus(shown[-1])}</NextContinuationToken>")
        for name in shown:
            encoded = quote_plus(name, safe="/")
            if names[name]:
                parts.append(f"<CommonPrefixes><Prefix>{encoded}</Prefix></CommonPrefixes>")
                continue
            found_object = objects[name]
            parts.append(
                f"<Contents><Key>{encoded}</Key><LastModified>{TIME}</LastModified><ETag>&quot;{found_object.etag}&quot;"
                f"</ETag><Size>{len(found_object.content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        self._xml(f"<ListBucketResult>{''.join(parts)}</ListBucketResult>")

    def _delete_many(self, objects: dict[str, Stored]) -> None:
        if self.store.quirks.lacks_batches:
            raise _Refused(501, "NotImplemented")
        try:
            asked = ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            raise _Refused(400, "MalformedXML") from None
        keys = [element.text or "" for element in asked.iter() if element.tag.rpartition("}")[2] == "Key"]
        if len(keys) > 1000:
            raise _Refused(400, "MalformedXML")
        errors = []
        for key in keys:
            if key.startswith("protected"):
                errors.append(f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message>no</Message></Error>")
            else:
                objects.pop(key, None)
        self._xml(f"<DeleteResult>{''.join(errors)}</DeleteResult>")

    def _list_uploads(self) -> None:
        """Two at most in an answer, so that each test goes through several."""
        prefix, after = self.query.get("prefix", ""), self.query.get("upload-id-marker", "")
        begun = sorted(
            (upload_id, key)
            for upload_id, (bucket, key, _parts) in self.store.uploads.items()
            if bucket == self.bucket and key.startswith(prefix) and upload_id > after
        )
        parts = [f"<EncodingType>url</EncodingType><IsTruncated>{str(len(begun) > 2).lower()}</IsTruncated>"]
        if len(begun) > 2:
            upload_id, key = begun[1]
            parts.append(f"<NextKeyMarker>{quote_plus(key, safe='/')}</NextKeyMarker>")
            parts.append(f"<NextUploadIdMarker>{upload_id}</NextUploadIdMarker>")
        for upload_id, key in begun[:2]:
            parts.append(f"<Upload><Key>{quote_plus(key, safe='/')}</Key><UploadId>{upload_id}</UploadId>")
            parts.append(f"<Initiated>{TIME}</Initiated></Upload>")
        self._xml(f"<ListMultipartUploadsResult>{''.join(parts)}</ListMultipartUploadsResult>")

    def _list_parts(self) -> None:
        parts, after = self._upload()[2], int(self.query.get("part-number-marker", "0"))
        left = sorted(number for number in parts if number > after)
        listed = [
            f"<UploadId>{self.query['uploadId']}</UploadId><IsTruncated>{str(len(left) > 2).lower()}</IsTruncated>"
        ]
        if len(left) > 2:
            listed.append(f"<NextPartNumberMarker>{left[1]}</NextPartNumberMarker>")
        for number in left[:2]:
            part = parts[number]
            listed.append(f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag>")
            listed.append(f"<Size>{len(part.content)}</Size></Part>")
        self._xml(f"<ListPartsResult>{''.join(listed)}</ListPartsResult>")

    # -- objects -----------------------------------------------------------------------------------------------------

    def _object_request(self) -> None:
        if self.command == "GET" and "uploadId" in self.query:
            self._list_parts()
        elif self.command in ("GET", "HEAD"):
            self._give()
        elif self.command == "DELETE" and "uploadId" in self.query:
            if self.store.uploads.pop(self.query["uploadId"], None) is None:
                raise _Refused(404, "NoSuchUpload")
            self._answer(204)
        elif self.command == "DELETE":
            self._objects().pop(self.key, None)
            self._answer(204)
        elif self.command == "POST":
            self._begin_or_complete()
        else:
            self._take()

    def _give(self) -> None:
        found = self._objects().get(self.key)
        if found is None:
            raise _Refused(404, "NoSuchKey")
        wanted = self.headers.get("If-Match", "").strip('"')
        if wanted and wanted != found.etag:
            raise _Refused(412, "PreconditionFailed")
        content, quirks, status = found.content, self.store.quirks, 200
        headers = {"ETag": f'"{found.etag}"', "Content-Type": found.content_type}
        headers["Last-Modified"] = "Fri, 02 Jan 2026 03:04:05 GMT"
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and not quirks.ignores_ranges:
            first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
            if first >= len(content):
                raise _Refused(416, "InvalidRange")
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        elif self.headers.get("x-amz-checksum-mode") == "ENABLED" and not quirks.tells_no_checksums:
            headers["x-amz-checksum-crc32"] = _crc(b"other" if quirks.wrong_crc else content)
        self._answer(status, content, headers, cut_at=quirks.cuts_bodies_at if self.command == "GET" else None)

    def _take(self) -> None:
        content, answer = self.body, ""
        if source := unquote(self.headers.get("x-amz-copy-source", "")):
            bucket, _slash, key = source.removeprefix("/").partition("/")
            original = self.store.buckets.get(bucket, {}).get(key)
            if original is None:
                raise _Refused(404, "NoSuchKey")
            wanted = self.headers.get("x-amz-copy-source-if-match", "").strip('"')
            if wanted and wanted != original.etag:
                raise _Refused(412, "PreconditionFailed")
            part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("x-amz-copy-source-range", ""))
            content = original.content[int(part[1]) : int(part[2]) + 1] if part else original.content
            kind = "CopyPartResult" if part else "CopyObjectResult"
            answer = f"<{kind}><ETag>&quot;{Stored(content).etag}&quot;</ETag></{kind}>"
        stored = Stored(content, self.headers.get("Content-Type", "binary/octet-stream"))
        if "uploadId" in self.query:
            self._upload()[2][int(self.query["partNumber"])] = stored
        else:
            self._check_free()
            if not (answer and self.store.quirks.forgets_copies):
                self._objects()[self.key] = stored
        if answer:
            self._xml(answer)
        else:
            is_silent = self.store.quirks.refuses_checksums or self.store.quirks.tells_no_checksums
            told = {} if is_silent else {"x-amz-checksum-crc32": _crc(content)}
            self._answer(200, headers={"ETag": f'"{stored.etag}"', **told})

    def _begin_or_complete(self) -> None:
        self._objects()
        if "uploads" in self.query:
            upload_id = f"upload-{len(self.store.requests)}"
            self.store.uploads[upload_id] = (self.bucket, self.key, {})
            self._xml(
                f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            )
            return
        parts = self._upload()[2]
        asked = [
            int(element.text or 0)
            for element in ElementTree.fromstring(self.body).iter()
            if element.tag.rpartition("}")[2] == "PartNumber"
        ]
        if asked != sorted(parts):
            raise _Refused(400, "InvalidPart")
        if any(len(parts[number].content) < self.store.quirks.smallest_part for number in asked[:-1]):
            raise _Refused(400, "EntityTooSmall")
        self._check_free()
        whole = Stored(b"".join(parts[number].content for number in asked))
        joined = b"".join(bytes.fromhex(parts[number].etag) for number in asked)
        whole.mark = f"{hashlib.md5(joined).hexdigest()}-{len(asked)}"
        self._objects()[self.key] = whole
        del self.store.uploads[self.query["uploadId"]]
        self._xml(
            f"<CompleteMultipartUploadResult><ETag>&quot;{whole.etag}&quot;</ETag></CompleteMultipartUploadResult>"
        )

    def _upload(self) -> tuple[str, str, dict[int, Stored]]:
        upload = self.store.uploads.get(self.query["uploadId"])
        if upload is None or upload[:2] != (self.bucket, self.key):
            raise _Refused(404, "NoSuchUpload")
        return upload

    def _check_free(self) -> None:
        conditional = self.headers.get("If-None-Match") == "*" and not self.store.quirks.ignores_conditions
        if conditional and self.key in self._objects():
            raise _Refused(412, "PreconditionFailed")

    # -- answers -----------------------------------------------------------------------------------------------------

    def _error(self, status: int, code: str, headers: dict[str, str], extra: str = "") -> None:
        text = f"{HEADER}<Error><Code>{code}</Code><Message>as ordered</Message>{extra}</Error>"
        self._answer(status, b"" if self.command == "HEAD" else text.encode(), headers)

    def _xml(self, text: str) -> None:
        self._answer(200, f"{HEADER}{text}".encode(), {"Content-Type": "application/xml"})

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, cut_at: int | None = None
    ) -> None:
        if self._next(self.store.lost) is not None:
            self.close_connection = True
            return
        self.answers += 1
        if self.answers == self.store.quirks.closes_silently_after:
            self.close_connection = True
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut_at is None else body[:cut_at])
        if cut_at is not None and cut_at < len(body):
            self.wfile.flush()
            self.close_connection = True


def _crc(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
