"""What the fast server answers: as much of S3 and Azure Blob as the measured clients ask for."""

from __future__ import annotations

import base64
import bisect
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from awscrt import checksums

_ECHOED = ("x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha256")
_PAGE = 5000
_MOST_OPEN = 200
"""Files that stay open; small ones beyond are opened each time."""


@dataclass(slots=True)
class Request:
    """A request whose body was read: `size` and `crc` (CRC-64/NVME) of it; `body` itself only of commands."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    size: int = 0
    crc: int = 0
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class FileRange:
    """Of a file that is open, or is to be opened for it."""

    descriptor: int
    offset: int
    length: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | FileRange = b""


@dataclass(frozen=True, slots=True)
class Part:
    """Of an uploaded object, in order."""

    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Held:
    """A file of the content, or an uploaded object (which has no descriptor)."""

    size: int
    crc: int
    modified: float
    md5: bytes = b""
    descriptor: int = -1
    path: str = ""

    @property
    def etag(self) -> str:
        return f'"0x{self.crc:016X}"'


class Storage:
    """The folder that all processes of a server share: content to serve, notes of uploads. The benchmark reads it, too."""

    def __init__(self, folder: Path) -> None:
        self._content = folder / "content"
        self._catalogue = folder / "catalogue.json"
        self._catalogue_state = 0
        self._notes = folder / "notes"
        self._held: dict[str, Held] = {}
        self._names: list[str] = []
        self._descriptors: dict[str, int] = {}
        (self._notes / "parts").mkdir(parents=True, exist_ok=True)
        (self._notes / "whole").mkdir(exist_ok=True)

    def forget_uploads(self) -> None:
        for folder in (self._notes / "parts").iterdir():
            shutil.rmtree(folder)
        for note in (self._notes / "whole").iterdir():
            note.unlink()

    def publish(self) -> None:
        """Serve what lies in the folder of the content now."""
        rows = []
        for path in sorted(self._content.rglob("*")):
            if path.is_file():
                md5, crc = hashlib.md5(), 0
                with path.open("rb") as file:
                    while piece := file.read(1 << 20):
                        md5.update(piece)
                        crc = checksums.crc64nvme(piece, crc)
                state = path.stat()
                rows.append((str(path.relative_to(self._content)), state.st_size, crc, state.st_mtime, md5.hexdigest()))
        fresh = self._catalogue.with_suffix(".new")
        fresh.write_text(json.dumps(rows))
        fresh.replace(self._catalogue)

    def uploaded(self, name: str) -> list[Part] | None:
        """The parts of an uploaded object (`container/name`) in order; None if there is no such one."""
        try:
            note = json.loads(self._note(name).read_text())
        except OSError:
            return None
        return [Part(size, crc) for size, crc in note["parts"]]

    def uploaded_count(self) -> int:
        return sum(1 for _note in (self._notes / "whole").iterdir())

    def unfinished_count(self) -> int:
        return sum(1 for folder in (self._notes / "parts").iterdir() if any(folder.iterdir()))

    def find(self, name: str) -> Held | None:
        parts = self.uploaded(name)
        if parts is not None:
            return Held(sum(part.size for part in parts), _whole_crc(parts), self._note(name).stat().st_mtime)
        self._read_catalogue()
        held = self._held.get(name)
        if held is None or name in self._descriptors:
            return held and replace(held, descriptor=self._descriptors[name])
        if len(self._descriptors) > _MOST_OPEN:
            return replace(held, path=str(self._content / name))
        self._descriptors[name] = os.open(self._content / name, os.O_RDONLY)
        return replace(held, descriptor=self._descriptors[name])

    def names(self, container: str, prefix: str, after: str) -> Iterator[tuple[str, Held]]:
        """Names below a container that start with `prefix` and come after `after`, in order."""
        self._read_catalogue()
        start = f"{container}/{prefix}"
        place = bisect.bisect_left(self._names, max(start, f"{container}/{after}"))
        while place < len(self._names) and self._names[place].startswith(start):
            name = self._names[place]
            yield name[len(container) + 1 :], self._held[name]
            place += 1

    def _read_catalogue(self) -> None:
        try:
            state = self._catalogue.stat().st_mtime_ns
        except OSError:
            return
        if state != self._catalogue_state:
            rows = json.loads(self._catalogue.read_text())
            self._held = {
                name: Held(size, crc, modified, bytes.fromhex(md5)) for name, size, crc, modified, md5 in rows
            }
            self._names = sorted(self._held)
            self._descriptors = {}
            self._catalogue_state = state

    def containers(self) -> list[str]:
        return sorted(entry.name for entry in self._content.iterdir())

    def add_part(self, upload: str, part: str, request: Request) -> None:
        folder = self._notes / "parts" / upload
        folder.mkdir(exist_ok=True)
        (folder / part.encode().hex()).write_text(json.dumps([request.size, request.crc]))

    def part(self, upload: str, part: str) -> Part:
        size, crc = json.loads((self._notes / "parts" / upload / part.encode().hex()).read_text())
        return Part(size, crc)

    def finish(self, name: str, parts: list[Part]) -> Held:
        text = json.dumps({"parts": [(part.size, part.crc) for part in parts]})
        note = self._note(name)
        note.write_text(text)
        return Held(sum(part.size for part in parts), _whole_crc(parts), note.stat().st_mtime)

    def drop_upload(self, upload: str) -> None:
        shutil.rmtree(self._notes / "parts" / upload, ignore_errors=True)

    def remove(self, name: str) -> None:
        self._note(name).unlink(missing_ok=True)

    def _note(self, name: str) -> Path:
        return self._notes / "whole" / hashlib.sha1(name.encode()).hexdigest()


def answer_s3(request: Request, storage: Storage) -> Answer:
    """Path style: /bucket/key."""
    bucket, _slash, key = request.path.lstrip("/").partition("/")
    if not key:
        return _answer_bucket(request, storage, bucket)
    name, query = f"{bucket}/{key}", request.query
    if request.headers.get("if-none-match") == "*" and storage.find(name) is not None:
        return Answer(412, content=b"<Error><Code>PreconditionFailed</Code></Error>")  # as Amazon does
    match request.method:
        case "GET" | "HEAD":
            return _give(request, storage.find(name), "range")
        case "PUT" if "partNumber" in query:
            storage.add_part(query["uploadId"], query["partNumber"], request)
            return Answer(200, {"etag": f'"{request.crc:016x}-1"'} | _echo(request))
        case "PUT":
            held = storage.finish(name, [Part(request.size, request.crc)])
            return Answer(200, {"etag": held.etag} | _echo(request))
        case "POST" if "uploads" in query:
            upload = secrets.token_hex(8)
            text = f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            return _xml("InitiateMultipartUploadResult", text)
        case "POST":
            return _complete(request, storage, name, query["uploadId"])
        case "DELETE":
            storage.remove(name)
            if "uploadId" in query:
                storage.drop_upload(query["uploadId"])
            return Answer(204)
    return Answer(501)


def _answer_bucket(request: Request, storage: Storage, bucket: str) -> Answer:
    if not bucket:
        names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in storage.containers())
        return _xml("ListAllMyBucketsResult", f"<Owner><ID>0</ID></Owner><Buckets>{names}</Buckets>")
    if request.method in ("PUT", "HEAD"):
        return Answer(200)
    if "location" in request.query:
        return _xml("LocationConstraint", "")
    if "versioning" in request.query:
        return _xml("VersioningConfiguration", "")
    if "uploads" in request.query:
        return _xml("ListMultipartUploadsResult", f"<Bucket>{bucket}</Bucket><IsTruncated>false</IsTruncated>")
    return _list_s3(request.query, storage, bucket)


def _list_s3(query: dict[str, str], storage: Storage, bucket: str) -> Answer:
    after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
    most = int(query.get("max-keys", 1000))
    rows, folders, has_more, last = _page(storage, bucket, query, after, most)
    items = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;0x{state.crc:016X}&quot;</ETag><Size>{state.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, state in rows
    )
    items += "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders)
    more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if has_more else ""
    text = (
        f"<Name>{bucket}</Name><Prefix>{escape(query.get('prefix', ''))}</Prefix><MaxKeys>{most}</MaxKeys>"
        f"<KeyCount>{len(rows) + len(folders)}</KeyCount><IsTruncated>{str(has_more).lower()}</IsTruncated>"
    )
    return _xml("ListBucketResult", text + items + more)


def _page(
    storage: Storage, container: str, query: dict[str, str], after: str, most: int
) -> tuple[list[tuple[str, Held]], list[str], bool, str]:
    """Rows and folders of one page, whether there are more, and the last name."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    rows: list[tuple[str, Held]] = []
    folders: dict[str, None] = {}
    last = after
    for key, state in storage.names(container, prefix, after):
        if key <= after or (delimiter and after.endswith(delimiter) and key.startswith(after)):
            continue
        rest, found, _tail = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        folder = prefix + rest + delimiter if found else ""
        if folder in folders:
            continue
        if len(rows) + len(folders) == most:
            return rows, list(folders), True, last
        if folder:
            folders[folder] = None
        else:
            rows.append((key, state))
        last = folder or key
    return rows, list(folders), False, last


def _complete(request: Request, storage: Storage, name: str, upload: str) -> Answer:
    numbers = re.findall(rb"<PartNumber>(\d+)</PartNumber>", request.body)
    held = storage.finish(name, [storage.part(upload, number.decode()) for number in numbers])
    storage.drop_upload(upload)
    crc = base64.b64encode(held.crc.to_bytes(8, "big")).decode()
    checksum = f"<ChecksumCRC64NVME>{crc}</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>"
    wants = b"CRC64NVME" in request.body or "x-amz-checksum-crc64nvme" in request.headers
    text = f"<ETag>{escape(held.etag)}</ETag>{checksum if wants else ''}"
    return _xml("CompleteMultipartUploadResult", text)


def answer_azure(request: Request, storage: Storage) -> Answer:
    """Path style: /account/container/name."""
    _account, _slash, name = request.path.lstrip("/").partition("/")
    container, _slash, blob = name.partition("/")
    query = request.query
    comp = query.get("comp", "")
    if not blob:
        if comp == "list" and container:
            return _list_azure(query, storage, container)
        if comp == "list":
            names = "".join(
                f"<Container><Name>{name}</Name><Properties><Last-Modified>{formatdate(0, usegmt=True)}</Last-Modified>"
                "<Etag>0x1</Etag></Properties></Container>"
                for name in storage.containers()
            )
            return _xml(
                "EnumerationResults", f"<Containers>{names}</Containers><NextMarker />", ' ServiceEndpoint="http://-/"'
            )
        return Answer(
            201 if request.method == "PUT" else 200, {"etag": '"0x1"', "last-modified": formatdate(0, usegmt=True)}
        )
    match request.method, comp:
        case (("GET" | "HEAD"), ""):
            return _give(request, storage.find(name), "x-ms-range")
        case "GET", "blocklist":
            return _xml("BlockList", "<CommittedBlocks /><UncommittedBlocks />")
        case "PUT", "block":
            storage.add_part(_upload_of(name), query["blockid"], request)
            return Answer(201, _azure_crc(request.crc))
        case "PUT", "blocklist":
            ids = re.findall(rb"<(?:Latest|Uncommitted|Committed)>([^<]*)<", request.body)
            held = storage.finish(name, [storage.part(_upload_of(name), one.decode()) for one in ids])
            storage.drop_upload(_upload_of(name))
            return Answer(201, _azure_head(held) | _azure_crc(request.crc))
        case "PUT", "":
            held = storage.finish(name, [Part(request.size, request.crc)])
            return Answer(201, _azure_head(held) | _azure_crc(request.crc))
        case "DELETE", _:
            storage.remove(name)
            return Answer(202)
        case "PUT", _:
            return Answer(200, {"etag": '"0x1"', "last-modified": formatdate(usegmt=True)})
    return Answer(501)


def _list_azure(query: dict[str, str], storage: Storage, container: str) -> Answer:
    most = int(query.get("maxresults", _PAGE))
    rows, folders, has_more, last = _page(storage, container, query, query.get("marker", ""), most)
    blobs = "".join(
        f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{formatdate(state.modified, usegmt=True)}</Last-Modified>"
        f"<Etag>0x{state.crc:016X}</Etag><Content-Length>{state.size}</Content-Length><Content-Type>application/octet-stream</Content-Type>"
        "<BlobType>BlockBlob</BlobType><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
        "</Properties></Blob>"
        for key, state in rows
    )
    blobs += "".join(f"<BlobPrefix><Name>{escape(one)}</Name></BlobPrefix>" for one in folders)
    more = f"<NextMarker>{escape(last)}</NextMarker>" if has_more else "<NextMarker />"
    return _xml("EnumerationResults", f"<Blobs>{blobs}</Blobs>{more}", f' ContainerName="{container}"')


def _give(request: Request, held: Held | None, range_header: str) -> Answer:
    if held is None:
        code = {"x-ms-error-code": "BlobNotFound"} if range_header.startswith("x-ms") else {}
        error = b"" if request.method == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>"
        return Answer(404, code | {"content-type": "application/xml"}, error)
    headers = _azure_head(held) | {
        "accept-ranges": "bytes",
        "content-type": "application/octet-stream",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-lease-state": "available",
        "x-ms-lease-status": "unlocked",
        "x-ms-server-encrypted": "true",
    }
    if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED" and "range" not in request.headers:
        headers["x-amz-checksum-crc64nvme"] = base64.b64encode(held.crc.to_bytes(8, "big")).decode()
        headers["x-amz-checksum-type"] = "FULL_OBJECT"
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get(range_header) or request.headers.get("range", ""))
    md5 = base64.b64encode(held.md5).decode()
    if not wanted:
        if held.md5:
            headers["content-md5"] = md5
        return Answer(200, headers, FileRange(held.descriptor, 0, held.size, held.path))
    begin = int(wanted[1])
    end = min(int(wanted[2] or held.size - 1), held.size - 1)
    if begin > end:
        return Answer(416, {"content-range": f"bytes */{held.size}"})
    headers |= {"content-range": f"bytes {begin}-{end}/{held.size}", "x-ms-blob-content-md5": md5}
    return Answer(206, headers, FileRange(held.descriptor, begin, end + 1 - begin, held.path))


def _azure_head(held: Held) -> dict[str, str]:
    return {"etag": held.etag, "last-modified": formatdate(held.modified, usegmt=True)}


def _azure_crc(crc: int) -> dict[str, str]:
    """Azure's CRC-64 is the same as NVME's, least byte first; it is given for each body."""
    return {
        "x-ms-content-crc64": base64.b64encode(crc.to_bytes(8, "little")).decode(),
        "x-ms-request-server-encrypted": "true",
    }


def _upload_of(name: str) -> str:
    return "azure-" + hashlib.sha1(name.encode()).hexdigest()


def _echo(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _ECHOED if name in request.headers}


def _xml(tag: str, inner: str, attributes: str = "") -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag}{attributes}>{inner}</{tag}>'
    return Answer(200, {"content-type": "application/xml"}, text.encode())


def _whole_crc(parts: list[Part]) -> int:
    whole = 0
    for part in parts:
        whole = checksums.combine_crc64nvme(whole, part.crc, part.size)
    return whole
